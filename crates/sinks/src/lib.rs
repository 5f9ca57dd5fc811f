//! One file a destination, one row in the table
