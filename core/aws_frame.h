/* One message of application/vnd.amazon.eventstream. */
#ifndef WEIR_CORE_AWS_FRAME_H
#define WEIR_CORE_AWS_FRAME_H

#include <weir/codec.h>

/* CRC-32 as in gzip. */
uint32_t aws_crc32(const char *p, size_t n);
/* Length of the message that s begins with; 0: more is needed; -1: its sums or lengths are wrong, or it is over the limit. */
int64_t aws_frame_length(struct weir_str s, size_t limit);
/* frame->bytes is one whole message: fills name (the event's, exception's or error's type) and data (the payload; of an error
 * without one its message). false: its headers make no sense. */
bool aws_frame_fill(struct weir_frame *frame);

#endif
