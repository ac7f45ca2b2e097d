//! One seat in a room: signalling, subscriptions, RTP time → media time. No work yet (issue 4).
