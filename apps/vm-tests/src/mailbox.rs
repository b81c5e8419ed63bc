//! Gives the host a page in which it can leave its answers.

use kernel::memory::frames::{Frames, leak};
use vm_test::host;
use vm_test::mailbox::Mailbox;

/// Makes questions to the host possible. To be called once.
pub(crate) fn install() {
    let Ok(page) = Frames::zeroed(size_of::<Mailbox>() as u64) else {
        // Most tests ask nothing. One that does says that there is no mailbox.
        return;
    };
    let mailbox = page.pointer().cast::<Mailbox>();
    let phys = leak(page).addr();
    // SAFETY: the page is leaked, so it is the mailbox's for good; it is mapped, aligned to a page
    // like the mailbox, and zeros are a mailbox. Its words are atomics, as the host writes them.
    let mailbox = unsafe { mailbox.as_ref() };
    host::install(mailbox, phys);
}
