//! What the picture looks like and the mix sounds like at time t. No work yet (issue 5).
