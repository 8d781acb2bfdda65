//! The Mad Lab database: its tables, and the story of its first 18 events.
