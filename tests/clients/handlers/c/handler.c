// A handler in C: wit-bindgen's bindings of the contract, and nothing else.

#include <stdio.h>
#include <string.h>

#include "worker.h"

typedef exports_wasq_worker_message_handler_message_t message_t;
typedef exports_wasq_worker_message_handler_outcome_t outcome_t;
typedef exports_wasq_worker_message_handler_failure_t failure_t;

// The bindings free what a failure has, so it is a copy.
static worker_string_t copied(const char *words) {
    worker_string_t copy;
    worker_string_dup(&copy, words);
    return copy;
}

// This message can never succeed.
static bool reject(failure_t *failure, const char *reason) {
    failure->tag = WASQ_WORKER_MESSAGES_FAILURE_REJECT;
    failure->val.reject = copied(reason);
    return false;
}

// Try again later.
static bool retry(failure_t *failure, const char *reason) {
    failure->tag = WASQ_WORKER_MESSAGES_FAILURE_RETRY;
    failure->val.retry = copied(reason);
    return false;
}

bool exports_wasq_worker_message_handler_handle(message_t *message, outcome_t *outcome, failure_t *failure) {
    char body[1024], name[64];
    snprintf(body, sizeof body, "%.*s", (int)message->body.len, (char *)message->body.ptr);
    // As much JSON as this needs; a library such as cJSON compiles, too.
    if (sscanf(body, " { \"name\" : \"%63[^\"]\" }", name) != 1) return reject(failure, "body: no `name`");

    // A step: done once, whatever becomes of this attempt.
    worker_string_t step = {(uint8_t *)"greet", 5};
    worker_option_list_u8_t known;
    wasq_worker_steps_step_error_t error;
    if (!wasq_worker_steps_get(&step, &known, &error)) return retry(failure, "the ledger does not answer");
    if (!known.is_some) {
        fprintf(stderr, "Hello, %s!\n", name);
        worker_list_u8_t value = {(uint8_t *)name, strlen(name)};
        if (!wasq_worker_steps_put(&step, &value, &error)) return retry(failure, "the step is not recorded");
    }
    outcome->tag = WASQ_WORKER_MESSAGES_OUTCOME_DONE;
    outcome->val.done.is_some = false;
    return true;
}
