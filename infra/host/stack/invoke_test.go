package stack

import (
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"keyvend/infra/host/lambda"
)

func TestTheInvokeAPIRefusesWhatLambdaRefuses(t *testing.T) {
	missing := lambda.NewPool(lambda.Function{Bootstrap: filepath.Join(t.TempDir(), "bootstrap")})
	h := (&Stack{functions: map[string]*function{"tenants": {pool: missing}}}).Invoker()
	for name, c := range map[string]struct {
		method, path, kind, body string
		status                   int
		error                    string
	}{
		"another function":      {"POST", "/2015-03-31/functions/nobody/invocations", "", "{}", 404, "ResourceNotFoundException"},
		"an ARN of no function": {"POST", "/2015-03-31/functions/arn:aws:sqs:x:y:tenants/invocations", "", "{}", 404, "ResourceNotFoundException"},
		"another method":        {"GET", "/2015-03-31/functions/tenants/invocations", "", "", 405, ""},
		"another path":          {"POST", "/2015-03-31/functions/tenants", "", "", 404, ""},
		"unsigned":              {"POST", "/2015-03-31/functions/tenants/invocations", "", "{}", 403, "MissingAuthenticationTokenException"},
		"no JSON":               {"POST", "/2015-03-31/functions/tenants/invocations", "", "{", 400, "InvalidRequestContentException"},
		"too much":              {"POST", "/2015-03-31/functions/tenants/invocations", "", strings.Repeat(" ", maxEvent+1), 413, "RequestTooLargeException"},
		"without an answer":     {"POST", "/2015-03-31/functions/tenants/invocations", "Event", "{}", 400, "InvalidParameterValueException"},
		"only asking":           {"POST", "/2015-03-31/functions/keyvend-tenants:$LATEST/invocations", "DryRun", "", 204, ""},
		"a missing binary":      {"POST", "/2015-03-31/functions/tenants/invocations", "RequestResponse", "{}", 500, "ServiceException"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.Header.Set("X-Amz-Invocation-Type", c.kind)
			if name != "unsigned" {
				r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=any")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.status || w.Header().Get("X-Amzn-ErrorType") != c.error {
				t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
			}
		})
	}
}

func TestAFailureThatTheFunctionDidNotTellIsToldInLambdasWords(t *testing.T) {
	answer, err := failure(&lambda.FunctionError{Type: "Sandbox.Timedout", Message: "late"})
	if err != nil || string(answer) != `{"errorMessage":"late","errorType":"Sandbox.Timedout"}` {
		t.Errorf("%s %v", answer, err)
	}
	if answer, err = failure(&lambda.FunctionError{Payload: []byte(`{"errorMessage":"own"}`)}); err != nil || string(answer) != `{"errorMessage":"own"}` {
		t.Errorf("%s %v", answer, err)
	}
}
