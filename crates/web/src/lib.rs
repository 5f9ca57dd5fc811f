//! The query API and the page
