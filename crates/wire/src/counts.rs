//! What an item is, and counts by kind: the unit of the ledger and of partial-success answers.

/// Items by kind, as accepted. Translations at a sink keep the count of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// OTLP spans.
    pub spans: u32,
    /// OTLP log records.
    pub logs: u32,
    /// OTLP data points, of any metric type.
    pub points: u32,
    /// Remote-write float samples.
    pub samples: u32,
    /// Remote-write native histograms.
    pub histograms: u32,
    /// Remote-write exemplars.
    pub exemplars: u32,
    /// Remote-write metadata entries.
    pub metadata: u32,
}

impl Counts {
    /// All kinds together: a batch's `items`.
    pub const fn total(&self) -> u32 {
        self.spans + self.logs + self.points + self.samples + self.histograms + self.exemplars + self.metadata
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.spans += other.spans;
        self.logs += other.logs;
        self.points += other.points;
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
        self.metadata += other.metadata;
    }
}
