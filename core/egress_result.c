/* How a call ended: libcurl's many codes as the few that weir tells apart, and the sentence that is made here, where the cause is
 * known.
 */
#include <stdio.h>

#include "egress_curl.h"

static bool has_failed_to_connect(const struct egress_call *c)
{
    curl_off_t connected = 0;
    curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &connected);
    return connected == 0;
}

/* The connection broke: before the answer, or in the middle of it. */
static enum egress_result broken(const struct egress_call *c)
{
    return c->has_head ? EGRESS_CUT : EGRESS_SEND;
}

enum egress_result result_of(const struct egress_call *c, CURLcode rc)
{
    if (c->refused)
        return c->refused;
    switch (rc) {
    case CURLE_OK:
        return c->has_head && c->chunks_done ? EGRESS_OK : broken(c);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return EGRESS_DNS;
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
        return EGRESS_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return has_failed_to_connect(c) ? EGRESS_CONNECT_TIMEOUT : broken(c);
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_USE_SSL_FAILED:
        return EGRESS_TLS;
    case CURLE_OUT_OF_MEMORY:
        return EGRESS_MEMORY;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_SEND_FAIL_REWIND:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_ABORTED_BY_CALLBACK:
        return broken(c);
    default:
        return EGRESS_PROTOCOL;
    }
}

/* libcurl's own words, or what the system says. */
static const char *detail(const struct egress_call *c, CURLcode rc)
{
    long error = 0;
    curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &error);
    if (rc == CURLE_COULDNT_CONNECT && error > 0)
        return strerror((int)error);
    return c->error[0] ? c->error : curl_easy_strerror(rc);
}

void result_message(const struct egress_call *c, enum egress_result result, CURLcode rc, char *out, size_t n)
{
    const char *host = c->place.host;
    unsigned port = c->place.port;
    switch (result) {
    case EGRESS_OK:
        out[0] = 0;
        break;
    case EGRESS_DNS:
        snprintf(out, n, "the name \"%s\" can't be looked up: %s", c->looked_up ? c->looked_up : host, detail(c, rc));
        break;
    case EGRESS_CONNECT:
        snprintf(out, n, "the connection to %s:%u failed: %s", host, port, detail(c, rc));
        break;
    case EGRESS_CONNECT_TIMEOUT:
        snprintf(out, n, "the connection to %s:%u was not there within %u ms", host, port, c->connect_ms);
        break;
    case EGRESS_TLS:
        snprintf(out, n, "TLS with %s:%u failed: %s", host, port, detail(c, rc));
        break;
    case EGRESS_SEND:
        snprintf(out, n, "%s:%u closed the connection before it answered", host, port);
        break;
    case EGRESS_CUT:
        snprintf(out, n, "the answer of %s:%u broke off after %llu bytes", host, port, (unsigned long long)c->received);
        break;
    case EGRESS_PROTOCOL:
        snprintf(out, n, "the answer of %s:%u can't be read: %s", host, port, c->refused ? c->why : detail(c, rc));
        break;
    case EGRESS_TOO_LARGE:
        snprintf(out, n, "the answer of %s:%u is too large: %s", host, port, c->why ? c->why : detail(c, rc));
        break;
    case EGRESS_MEMORY:
        snprintf(out, n, "memory is short");
        break;
    }
}
