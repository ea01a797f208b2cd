/* Frames before nghttp2 sees them: what it lets pass and RFC 9113 does not, and floods.
 *
 * Invariants:
 * 1. A frame is judged when all before it have been worked on, so that the state of its stream is right.
 * 2. A stream number at or below the highest is open, or in `left_open`, or finished by the peer: then
 *    HEADERS and DATA are a connection error. The list forgets its oldest; numbers below the oldest
 *    that it knows are let pass, for nghttp2 to ignore.
 * 3. Buckets: resets, which cost a request each; frames that move nothing on, which cost the parsing. */
#include "front/http/http2_priv.h"

#include <nghttp2/nghttp2.h>

H2FrameHead h2_frame_head(const char *bytes)
{
    const unsigned char *b = (const unsigned char *)bytes;
    return (H2FrameHead){
        .length = (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2],
        .stream = ((uint32_t)b[5] << 24 | (uint32_t)b[6] << 16 | (uint32_t)b[7] << 8 | b[8]) & 0x7fffffff,
        .type = b[3],
        .flags = b[4],
    };
}

bool h2_bucket_take(H2Bucket *bucket, int64_t now_us, uint32_t most, uint32_t a_second)
{
    if (bucket->at_us == 0) {
        bucket->at_us = now_us;
        bucket->left = most;
    }
    uint64_t back = (uint64_t)(now_us - bucket->at_us) * a_second / 1000000;
    if (back > 0) {
        bucket->left = (uint32_t)MIN((uint64_t)most, bucket->left + back);
        bucket->at_us = now_us;
    }
    if (bucket->left == 0)
        return false;
    bucket->left--;
    return true;
}

static bool wrong(H2 *h2, uint32_t code, const char *why)
{
    h2->error = code;
    h2->why = why;
    return false;
}

bool h2_guard_reset(H2 *h2)
{
    return h2_bucket_take(&h2->guard.resets, loop_now_us(h2->loop), H2_RESETS, H2_RESETS_A_SECOND) ||
           wrong(h2, NGHTTP2_ENHANCE_YOUR_CALM, "too many streams are reset");
}

void h2_guard_left_open(H2Guard *guard, uint32_t stream)
{
    guard->left_open[guard->left_open_count++ % H2_LEFT_OPEN_KEPT] = stream;
}

/* True: the peer may still send for a stream that is closed here. */
static bool may_send(const H2Guard *guard, uint32_t stream)
{
    size_t kept = MIN(guard->left_open_count, (uint32_t)H2_LEFT_OPEN_KEPT);
    uint32_t oldest = UINT32_MAX;
    for (size_t i = 0; i < kept; i++) {
        if (guard->left_open[i] == stream)
            return true;
        oldest = MIN(oldest, guard->left_open[i]);
    }
    return kept == H2_LEFT_OPEN_KEPT && stream < oldest;
}

/* HEADERS and DATA of the peer's streams. */
static bool stream_ok(H2 *h2, const H2FrameHead *head)
{
    H2Guard *guard = &h2->guard;
    if (head->stream % 2 == 0 || h2->goaway)
        return true; /* stream 0 and the server's: nghttp2 refuses them */
    if (head->stream > guard->last_stream) {
        if (head->type == NGHTTP2_HEADERS)
            guard->last_stream = head->stream;
        return true;
    }
    if (nghttp2_session_get_stream_user_data(h2->session, (int32_t)head->stream))
        return true;
    return may_send(guard, head->stream) ||
           wrong(h2, NGHTTP2_STREAM_CLOSED, "a frame of a stream that its peer has ended");
}

/* RFC 9113 4.2: too small for what must be in it. */
static bool has_room(const H2FrameHead *head)
{
    bool data = head->type == NGHTTP2_DATA, headers = head->type == NGHTTP2_HEADERS;
    uint32_t least = 0;
    if ((data || headers) && (head->flags & NGHTTP2_FLAG_PADDED))
        least++;
    if (headers && (head->flags & NGHTTP2_FLAG_PRIORITY))
        least += 5;
    return head->length >= least;
}

/* Frames that a peer may send as often as it likes move something on. */
static bool moves_on(const H2FrameHead *head)
{
    switch (head->type) {
    case NGHTTP2_DATA:
        return head->length > 0 || (head->flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_HEADERS:
    case NGHTTP2_WINDOW_UPDATE:
        return true;
    case NGHTTP2_CONTINUATION:
        return head->length > 0;
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PING:
        return head->flags & NGHTTP2_FLAG_ACK;
    default:
        return false;
    }
}

/* nghttp2 looks at none of it, because SETTINGS_NO_RFC7540_PRIORITIES was sent. */
static bool priority_ok(const H2FrameHead *head, const char *payload)
{
    const unsigned char *b = (const unsigned char *)payload;
    if (head->stream == 0 || head->length < 4)
        return head->stream > 0;
    return (((uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]) & 0x7fffffff) !=
           head->stream;
}

bool h2_guard_frame(H2 *h2, const H2FrameHead *head, const char *payload)
{
    H2Guard *guard = &h2->guard;
    if (head->length > H2_FRAME_MAX)
        return wrong(h2, NGHTTP2_FRAME_SIZE_ERROR, "a frame above 16,384 octets");
    if (!has_room(head))
        return wrong(h2, NGHTTP2_FRAME_SIZE_ERROR, "a frame without what must be in it");
    if (head->type == NGHTTP2_CONTINUATION && guard->block_frames > H2_BLOCK_FRAMES_MAX)
        return wrong(h2, NGHTTP2_ENHANCE_YOUR_CALM, "a header block in too many frames");
    if (head->type == NGHTTP2_SETTINGS && head->length > H2_SETTINGS_MAX * 6)
        return wrong(h2, NGHTTP2_ENHANCE_YOUR_CALM, "too many settings in one frame");
    if (!moves_on(head) && !h2_bucket_take(&guard->idle, loop_now_us(h2->loop), H2_IDLE_FRAMES,
                                           H2_IDLE_FRAMES_A_SECOND))
        return wrong(h2, NGHTTP2_ENHANCE_YOUR_CALM, "too many frames that do nothing");
    if (head->type == NGHTTP2_PRIORITY && !priority_ok(head, payload))
        return wrong(h2, NGHTTP2_PROTOCOL_ERROR, "PRIORITY of no stream, or of one that depends on itself");
    if (guard->block_frames == 0 && head->type == NGHTTP2_RST_STREAM && !h2_guard_reset(h2))
        return false;
    if (guard->block_frames == 0 && (head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_DATA))
        return stream_ok(h2, head);
    return true;
}

void h2_guard_frame_over(H2 *h2, const H2FrameHead *head)
{
    H2Guard *guard = &h2->guard;
    bool begins = guard->block_frames == 0 && head->type == NGHTTP2_HEADERS;
    if (!begins && head->type != NGHTTP2_CONTINUATION)
        return;
    if (begins) {
        guard->block_stream = head->stream;
        guard->block_ends = head->flags & NGHTTP2_FLAG_END_STREAM;
    }
    guard->block_frames++;
    if (!(head->flags & NGHTTP2_FLAG_END_HEADERS))
        return;
    guard->block_frames = 0;
    if (!guard->block_ends &&
        !nghttp2_session_get_stream_user_data(h2->session, (int32_t)guard->block_stream))
        h2_guard_left_open(guard, guard->block_stream); /* refused: its body is on its way */
}
