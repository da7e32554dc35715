package cfn

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Function is one AWS::Serverless::Function with the globals merged in.
type Function struct {
	LogicalID   string
	Name        string // as in functions/<Name>: "vend" for VendFunction
	Role        string // the role's logical id
	Timeout     time.Duration
	MemoryMB    int
	Environment map[string]string
	Routes      []string        // HTTP API route keys: "ANY /healthz", "$default"
	Schedules   []time.Duration // the periods of its rate() schedules
	Streams     []Stream
	Queues      []QueueSource
	LogGroup    string // where what it prints goes
	Logs        []Subscription
	Retries     int // of an event that nobody waits for, after the first try
}

// Functions returns the template's functions, sorted by logical id.
func (t *Template) Functions(with Values) ([]Function, error) {
	globals, err := t.Resolve(Map(Map(t.root["Globals"])["Function"]), with)
	if err != nil {
		return nil, fmt.Errorf("globals: %w", err)
	}
	var all []Function
	for _, id := range t.Named("AWS::Serverless::Function") {
		own, err := t.Properties(id, with)
		if err != nil {
			return nil, err
		}
		f, err := newFunction(id, Map(globals), own)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		if role := List(Map(t.Resources[id].Properties["Role"])["Fn::GetAtt"]); len(role) == 2 {
			f.Role = text(role[0])
		}
		all = append(all, f)
	}
	return all, nil
}

func newFunction(id string, globals, own map[string]any) (Function, error) {
	merged := maps.Clone(globals)
	maps.Copy(merged, own)
	f := Function{
		LogicalID:   id,
		Name:        strings.ToLower(strings.TrimSuffix(id, "Function")),
		Environment: map[string]string{},
		LogGroup:    text(Map(own["LoggingConfig"])["LogGroup"]),
		Retries:     2,
	}
	if n, ok := Map(own["EventInvokeConfig"])["MaximumRetryAttempts"].(int); ok {
		f.Retries = n
	}
	seconds, ok := merged["Timeout"].(int)
	if !ok {
		return f, fmt.Errorf("no timeout")
	}
	f.Timeout = time.Duration(seconds) * time.Second
	if f.MemoryMB, ok = merged["MemorySize"].(int); !ok {
		return f, fmt.Errorf("no memory size")
	}
	for _, source := range []map[string]any{globals, own} {
		for name, value := range Map(Map(source["Environment"])["Variables"]) {
			f.Environment[name] = text(value)
		}
	}
	for _, event := range Map(own["Events"]) {
		if err := f.add(Map(event)); err != nil {
			return f, err
		}
	}
	slices.Sort(f.Routes)
	return f, nil
}

// add takes in one event source.
func (f *Function) add(event map[string]any) error {
	properties := Map(event["Properties"])
	switch kind := text(event["Type"]); kind {
	case "HttpApi":
		route := "$default"
		if path := text(properties["Path"]); path != "" {
			route = strings.ToUpper(text(properties["Method"])) + " " + path
		}
		f.Routes = append(f.Routes, route)
	case "Schedule":
		return f.addSchedule(properties["Schedule"], text(properties["Enabled"]) == "false" || text(properties["State"]) == "DISABLED")
	case "ScheduleV2":
		return f.addSchedule(properties["ScheduleExpression"], text(properties["State"]) == "DISABLED")
	case "DynamoDB":
		s, err := newStream(properties)
		if err != nil {
			return err
		}
		f.Streams = append(f.Streams, s)
	case "SQS":
		q, err := newQueueSource(properties)
		if err != nil {
			return err
		}
		f.Queues = append(f.Queues, q)
	case "CloudWatchLogs":
		s, err := newSubscription(properties)
		if err != nil {
			return err
		}
		f.Logs = append(f.Logs, s)
	default:
		return fmt.Errorf("event source %s is not supported", kind)
	}
	return nil
}

func (f *Function) addSchedule(expression any, disabled bool) error {
	period, err := rate(text(expression))
	if err == nil && !disabled {
		f.Schedules = append(f.Schedules, period)
	}
	return err
}

// rate reads "rate(5 minutes)".
func rate(expression string) (time.Duration, error) {
	var (
		n    int
		unit string
	)
	if _, err := fmt.Sscanf(strings.TrimSuffix(expression, ")"), "rate(%d %s", &n, &unit); err != nil || n < 1 {
		return 0, fmt.Errorf("schedule %q is not supported", expression)
	}
	units := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	period, ok := units[strings.TrimSuffix(unit, "s")]
	if !ok {
		return 0, fmt.Errorf("schedule %q is not supported", expression)
	}
	return time.Duration(n) * period, nil
}
