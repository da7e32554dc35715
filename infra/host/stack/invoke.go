package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"keyvend/infra/host/lambda"
)

// maxEvent is the most that Lambda takes for one invocation, in bytes.
const maxEvent = 6 << 20

// Invoker is Lambda's Invoke API for the functions that no route leads to: what
// an operator's IAM permission is for, here without one. A function is named as
// in functions/, as it is deployed, or by its ARN. Nobody checks the signature of
// a request, but without one it is refused: no page in a browser can send one.
func (s *Stack) Invoker() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", s.serveInvoke)
	return mux
}

func (s *Stack) serveInvoke(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-") {
		refuseInvoke(w, http.StatusForbidden, "MissingAuthenticationTokenException", "Missing Authentication Token")
		return
	}
	pool, err := s.Function(shortName(r.PathValue("name")))
	if err != nil {
		refuseInvoke(w, http.StatusNotFound, "ResourceNotFoundException", "Function not found: "+r.PathValue("name"))
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxEvent))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		refuseInvoke(w, http.StatusRequestEntityTooLarge, "RequestTooLargeException", fmt.Sprintf("The request payload has more than %d bytes.", maxEvent))
		return
	case err != nil:
		return // the caller is gone
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		refuseInvoke(w, http.StatusBadRequest, "InvalidRequestContentException", "The request payload is not JSON.")
		return
	}
	switch r.Header.Get("X-Amz-Invocation-Type") {
	case "", "RequestResponse":
		answerInvoke(r.Context(), w, pool, payload)
	case "DryRun":
		w.WriteHeader(http.StatusNoContent)
	default:
		refuseInvoke(w, http.StatusBadRequest, "InvalidParameterValueException", "Here an invocation is waited for: RequestResponse or DryRun.")
	}
}

// answerInvoke runs a function. That it failed is told by a header, as Lambda
// does; the status is then 200 too.
func answerInvoke(ctx context.Context, w http.ResponseWriter, pool *lambda.Pool, payload []byte) {
	answer, err := pool.Invoke(ctx, payload)
	var failed *lambda.FunctionError
	if errors.As(err, &failed) {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		answer, err = failure(failed)
	}
	if err != nil {
		refuseInvoke(w, http.StatusInternalServerError, "ServiceException", err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amz-Executed-Version", "$LATEST")
	_, _ = w.Write(answer)
}

// failure is what the function said of its failure, or else what Lambda says.
func failure(failed *lambda.FunctionError) ([]byte, error) {
	if failed.Payload != nil {
		return failed.Payload, nil
	}
	return json.Marshal(map[string]string{"errorType": failed.Type, "errorMessage": failed.Message})
}

// refuseInvoke answers as Lambda itself does, not a function.
func refuseInvoke(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-ErrorType", kind)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"Type": "User", "Message": message}) // the caller is gone
}

// shortName is a function's name in functions/.
func shortName(name string) string {
	if arn, ok := strings.CutPrefix(name, "arn:"); ok {
		if _, name, ok = strings.Cut(arn, ":function:"); !ok {
			return ""
		}
	}
	name, _, _ = strings.Cut(name, ":") // a version or alias; there is one
	return strings.TrimPrefix(name, Name+"-")
}
