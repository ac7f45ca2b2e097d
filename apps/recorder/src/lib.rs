//! One process, one or more recordings: source → pipeline → outputs → storage, driven by the `recording` core.
