//! What runs on this host: listing (truth), events (hints), probes.
