//! psrpc as a pure core: channels, envelopes, claims, affinity, queue delivery, expiry, errors.
