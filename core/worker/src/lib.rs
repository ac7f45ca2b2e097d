//! One machine: what it may accept, which child lives, what is still to be reported, when it drains.
