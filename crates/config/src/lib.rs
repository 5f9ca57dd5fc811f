//! Text to Plan: typed configuration, all problems at once, reference generated from the types
