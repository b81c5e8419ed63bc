//! Counting lines of QEMU's trace.
//!
//! A line is `EVENT WORDS…`, with the process and the time before it on some QEMUs (`123@456.789:EVENT`).

/// Counts the lines of an event.
///
/// The query is `EVENT` or `EVENT TEXT`: the second counts only lines that contain the text. An event
/// that ends in `*` stands for all that begin like it.
pub(super) fn count(trace: &str, query: &str) -> u64 {
    let (event, text) = query.split_once(' ').unwrap_or((query, ""));
    let is_meant = |name: &str| match event.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == event,
    };
    let lines = trace.lines().filter(|line| {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let name = name.rsplit_once(':').map_or(name, |(_, name)| name);
        is_meant(name) && rest.contains(text)
    });
    lines.count() as u64
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn events_are_counted_by_name_start_and_text() {
        let trace = "\
            pci_nvme_mmio_doorbell_sq sqid 1 new_tail 3\n\
            12@1.5:pci_nvme_mmio_doorbell_sq sqid 0 new_tail 1\n\
            pci_nvme_mmio_doorbell_cq cqid 1 new_head 3\n\
            pci_nvme_mmio_stopped\n";
        assert_eq!(count(trace, "pci_nvme_mmio_doorbell_sq"), 2);
        assert_eq!(count(trace, "pci_nvme_mmio_doorbell_sq sqid 1 "), 1);
        assert_eq!(count(trace, "pci_nvme_mmio_doorbell_* new_"), 3);
        assert_eq!(count(trace, "pci_nvme_mmio_*"), 4);
        assert_eq!(count(trace, "pci_nvme_mmio_stopped"), 1);
        assert_eq!(count(trace, "pci_nvme"), 0);
    }
}
