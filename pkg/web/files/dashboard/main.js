// The dashboard comes here.
