/* The client's side of the admin socket, for `weir reload` and `weir status`. */
#ifndef WEIR_CORE_CONTROL_H
#define WEIR_CORE_CONTROL_H

/* Asks the weir that answers at this socket: question is "GET /status" or "POST /reload". 0: *answer is what it said;
 * > 0: the HTTP status of a refusal, *answer says why (a failed reload: 422 and the mistakes, one a line); -1: nobody
 * answers, *answer is a sentence with a remedy. *answer is malloc'ed, NULL only without memory. */
int control_ask(const char *socket_path, const char *question, char **answer);

#endif
