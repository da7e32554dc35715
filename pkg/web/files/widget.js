// The widget comes here.
