package fakeprovider_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"keyvend/infra/fakeprovider"
)

// A backend that uses vended keys is tested against a fake in the provider's
// place: give it the client, and the address of the fake's check.
func Example() {
	kit := &fakeprovider.Kit{}
	server, err := kit.Serve(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()

	bearer := fakeprovider.Bearer()
	use := func(key string) {
		request, err := http.NewRequest(bearer.Check.Method, bearer.Check.URL, nil)
		if err != nil {
			log.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+key)
		answer, err := server.Client().Do(request)
		if err != nil {
			log.Fatal(err)
		}
		answer.Body.Close()
		fmt.Println(answer.StatusCode)
	}

	use("fake-valid-0001")
	kit.Revoke("fake-valid-0001")
	use("fake-valid-0001")
	use("fake-ratelimited-0001")
	fmt.Println(kit.Asked(bearer).Of("fake-valid-0001"))
	// Output:
	// 200
	// 401
	// 429
	// 2
}

// A keyvend that runs on this machine gets the fake as a provider.
func ExampleFake_Register() {
	err := fakeprovider.Bearer().Register(context.Background(), os.Getenv("KEYVEND_URL"), os.Getenv("KEYVEND_API_KEY"))
	if err != nil {
		log.Fatal(err)
	}
}
