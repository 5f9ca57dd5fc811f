//! Dev only: sample payloads, fake peers, generators, real-server launchers
