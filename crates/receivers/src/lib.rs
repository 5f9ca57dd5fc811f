//! One file a protocol, one row in the table; the front door
