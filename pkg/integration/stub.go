package integration

// EffectiveOnInvalid stub.
func (in *Integration) OnInvalid() OnInvalid { return in.Policy.OnInvalid.OrDefault() }
