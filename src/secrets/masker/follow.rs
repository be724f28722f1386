//! Long forms: their first bytes are a pattern of the automaton, the rest is compared byte by byte as it
//! comes. So a long form costs neither states nor held bytes, and a part of it that was cut off is
//! masked as far as it goes. Knows no automaton.

use std::sync::Arc;

use super::forms::Form;

/// How many bytes of a long form have to be seen before what follows is compared with it.
pub(super) const ANCHOR: usize = 64;

/// One long form whose bytes have come one after the other so far.
#[derive(Clone)]
struct Follower {
    form: Arc<Form>,
    seen: usize,
}

/// All long forms that a stream is in the middle of.
#[derive(Clone, Default)]
pub(super) struct Followers(Vec<Follower>);

impl Followers {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The anchor of this form ends here.
    pub(super) fn start(&mut self, form: &Arc<Form>) {
        self.0.push(Follower { form: Arc::clone(form), seen: ANCHOR });
    }

    /// Takes the next byte; answers whether it goes on with any form.
    pub(super) fn step(&mut self, byte: u8) -> bool {
        self.0.retain_mut(|follower| {
            let form: &[u8] = (*follower.form).as_ref();
            let goes_on = form.get(follower.seen) == Some(&byte);
            follower.seen += 1;
            goes_on
        });
        !self.0.is_empty()
    }

    /// Those that began more than `length` bytes ago.
    pub(super) fn older_than(self, length: usize) -> Self {
        Self(self.0.into_iter().filter(|follower| follower.seen > length).collect())
    }

    pub(super) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::masker::forms::Forms;

    #[test]
    fn what_began_with_the_last_bytes_is_not_older_than_they_are() {
        let mut forms = Forms::default();
        forms.add(vec![b'x'; 2000], 1);
        let forms: Vec<Arc<Form>> = forms.long.into_iter().map(Arc::new).collect();
        let mut followers = Followers::default();
        followers.start(&forms[0]);
        assert!(followers.step(b'x'));
        assert!(followers.older_than(ANCHOR + 1).is_empty());
        followers = Followers::default();
        followers.start(&forms[0]);
        assert!(!followers.older_than(ANCHOR - 1).is_empty());
    }
}
