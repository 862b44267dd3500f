/* A retry budget: a token bucket in one word, so that calls made again can't become a storm.
 *
 * It begins with a few tokens, gains a share of every call that is made and a little with time, and each retry takes one. The
 * calls are counted elsewhere (by each worker for itself); only a retry touches the word.
 */
#ifndef WEIR_CORE_BUDGET_H
#define WEIR_CORE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { BUDGET_FLOOR = 10, BUDGET_MOST = 100 }; /* tokens: at the beginning; at most */
struct budget_rules {
    double share; /* of calls that may be made again, beside the floor and one every two seconds */
    bool is_of_calls_only; /* nothing is earned by time */
};

/* calls: made so far, by all workers. true: a token was taken. Of zero a word is a new bucket. */
bool budget_take(_Atomic uint64_t *word, const struct budget_rules *rules, uint64_t calls, int64_t now_ms);

#endif
