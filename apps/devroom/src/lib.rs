//! A small LiveKit-compatible room server for tests, the demo and benchmarks. No work yet (issue 4).
