//! The ways in which the model can misbehave.

/// What goes wrong. Unless it says otherwise, it happens to one I/O completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// The Command Identifier has some bits changed.
    WrongCid(u16),
    /// The completion is posted twice.
    Duplicate,
    /// The completion of the command before is posted again, before this one.
    Replay,
    /// The SQ Head Pointer has this value.
    SubmissionHead(u16),
    /// From now on the SQ Head Pointer stays as it is.
    StuckHead,
    /// The SQ Identifier has this value.
    WrongQueue(u16),
    /// The phase tag has the old value.
    OldPhase,
    /// Garbage with the new phase tag is in the entry after this one.
    EarlyPhase,
    /// From now on nothing is completed.
    Silence,
    /// From now on nothing is completed, and commands still write to memory when the
    /// controller has been told to stop. It never says that it has stopped.
    Runaway,
    /// Fatal status instead of a completion.
    Fatal,
    /// The device goes, and its registers read as all ones.
    Gone,
    /// The device goes, and its registers read as zeros.
    Vanished,
    /// The controller stops being ready.
    NotReady,
    /// Every entry of the completion queue is overwritten with noise.
    Noise,
}
