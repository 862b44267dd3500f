/* Back-pressure on a call, both ways: answers that wait for their reader, uploads that wait for their writer. Callers leave marks;
 * call_go_on() heeds them from the event loop. libcurl takes both directions at once, so each call says what the other one is.
 */
#include "egress_curl.h"

static void resume_now(struct egress_call *c)
{
    c->wants_resume = false;
    if (!c->is_paused || c->wants_pause)
        return;
    c->is_paused = false;
    c->egress->inside++;
    curl_easy_pause(c->easy, c->upload_waits ? CURLPAUSE_SEND : CURLPAUSE_CONT);
    c->egress->inside--;
}

static void feed_now(struct egress_call *c)
{
    c->wants_feed = false;
    if (!c->upload_waits)
        return;
    c->upload_waits = false;
    c->egress->inside++;
    curl_easy_pause(c->easy, c->is_paused ? CURLPAUSE_RECV : CURLPAUSE_CONT);
    c->egress->inside--;
}

void call_go_on(struct egress_call *c)
{
    if (c->wants_feed)
        feed_now(c);
    if (c->wants_resume)
        resume_now(c);
}

/* ---- marks ---- */

void egress_pause(struct egress_call *c)
{
    if (egress_other) {
        egress_other->set_paused(c, true);
        return;
    }
    c->wants_pause = true;
}

void egress_resume(struct egress_call *c)
{
    if (egress_other) {
        egress_other->set_paused(c, false);
        return;
    }
    c->wants_pause = false;
    if (!c->is_paused)
        return;
    c->wants_resume = true;
    egress_later(c);
}

void egress_feed(struct egress_call *c)
{
    if (egress_other)
        return; /* a rehearsal reads no body */
    c->wants_feed = true;
    if (c->upload_waits)
        egress_later(c);
}
