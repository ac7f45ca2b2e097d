//! Plays `session` over WebSocket and UDP. No work yet (issue 4).
