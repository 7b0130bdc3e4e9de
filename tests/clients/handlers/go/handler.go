// Package export_wasq_worker_message_handler is a handler in Go: wit-bindgen's bindings of the
// contract, and the standard library.
package export_wasq_worker_message_handler

import (
	"encoding/json"
	"fmt"
	"os"

	messages "wit_component/wasq_worker_messages"
	steps "wit_component/wasq_worker_steps"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// Greeting is the body of a message of type `greeting`.
type Greeting struct {
	Name string `json:"name"`
}

// reject says that a message can never succeed.
type reject string

func (reason reject) Error() string { return string(reason) }

// What a run ends with, by the contract's types.
var (
	done   = wit.Ok[messages.Outcome, messages.Failure]
	failed = wit.Err[messages.Outcome, messages.Failure]
	none   = wit.None[[]uint8]
)

// Handle runs once for each message. An error means that it is tried again later.
func Handle(message messages.Message) wit.Result[messages.Outcome, messages.Failure] {
	switch err := greet(message.Body).(type) {
	case nil:
		return done(messages.MakeOutcomeDone(none()))
	case reject:
		return failed(messages.MakeFailureReject(err.Error()))
	default:
		return failed(messages.MakeFailureRetry(err.Error()))
	}
}

func greet(body []byte) error {
	var greeting Greeting
	if err := json.Unmarshal(body, &greeting); err != nil {
		return reject("body: " + err.Error())
	}
	if greeting.Name == "" {
		return reject("nobody to greet")
	}
	// A step: done once, whatever becomes of this attempt.
	return once("greet", func() error {
		fmt.Fprintf(os.Stderr, "Hello, %s!\n", greeting.Name)
		return nil
	})
}

// once does some work, unless an earlier attempt has recorded that it did.
func once(name string, work func() error) error {
	known := steps.Get(name)
	if known.IsErr() {
		return fmt.Errorf("step %s: the ledger does not answer", name)
	}
	if known.Ok().IsSome() {
		return nil
	}
	if err := work(); err != nil {
		return err
	}
	if steps.Put(name, nil).IsErr() {
		return fmt.Errorf("step %s: it is not recorded", name)
	}
	return nil
}
