//! Functions that share a line, and everything that can happen between two steps of who asks them.
//!
//! The line is up while any of them holds it, and an edge is a rise of the *whole* line: it is what an I/O APIC takes notice
//! of. Between any two steps of the keeper any function may do something and ask to be looked at, or be reset. All orders of up to
//! so many such events are tried. What is wrong then is a keeper that sleeps, without an edge to wake it, while a
//! function has done something that nobody has seen.
//!
//! That the model would find it is shown by keepers that do it wrong.

use super::pass::{Settled, Sharer, settle};
use std::cell::RefCell;

/// Functions on the line.
const FUNCTIONS: usize = 3;

/// What can happen between two steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Event {
    /// A function does something, and asks to be looked at.
    Asks(usize),
    /// A function is reset, by which its line falls, and its driver says so. What it had done is nobody's business any more.
    Reset(usize),
}

/// The order of events of a run: at each step, which of the possible ones happen before it. It counts through
/// all of them like the digits of a number.
#[derive(Default)]
struct Script {
    /// What was chosen, and out of how many.
    digits: Vec<(usize, usize)>,
    at: usize,
}

impl Script {
    fn choose(&mut self, out_of: usize) -> usize {
        if self.at == self.digits.len() {
            self.digits.push((0, out_of));
        }
        let (chosen, known) = self.digits[self.at];
        assert_eq!(known, out_of, "a run depends on nothing but its script");
        self.at += 1;
        chosen
    }

    /// The next run, if there is one.
    fn advance(&mut self) -> bool {
        self.at = 0;
        while let Some((chosen, out_of)) = self.digits.pop() {
            if chosen + 1 < out_of {
                self.digits.push((chosen + 1, out_of));
                return true;
            }
        }
        false
    }
}

/// What is wrong with a keeper.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    /// It asks everybody once.
    OnePass,
    /// It ends with the first pass in which not everybody had asked.
    EndsEarly,
    /// It looks before it lets the line fall.
    LooksFirst,
    /// It does not let the line fall.
    LeavesUp,
    /// Nobody says that a function was reset.
    SilentReset,
    /// It takes notice of the edge when it is done.
    NotesLate,
}

struct World {
    script: Script,
    fault: Fault,
    /// Events that are still to come.
    asks: usize,
    resets: usize,
    /// A function holds the line.
    holds: [bool; FUNCTIONS],
    /// It has done something that nobody has seen.
    unseen: [bool; FUNCTIONS],
    /// An edge was not taken notice of.
    edge: bool,
    nudged: bool,
    log: Vec<String>,
}

impl World {
    fn is_up(&self) -> bool {
        self.holds.contains(&true)
    }

    /// Anything may happen here.
    fn step(&mut self) {
        loop {
            let mut events = Vec::new();
            if self.asks > 0 {
                events.extend((0..FUNCTIONS).map(Event::Asks));
            }
            if self.resets > 0 {
                events.extend((0..FUNCTIONS).map(Event::Reset));
            }
            match self.script.choose(events.len() + 1) {
                0 => return,
                chosen => self.happens(events[chosen - 1]),
            }
        }
    }

    fn happens(&mut self, event: Event) {
        self.log.push(format!("{event:?}"));
        match event {
            Event::Asks(function) => {
                self.asks -= 1;
                self.unseen[function] = true;
                self.edge |= !self.is_up();
                self.holds[function] = true;
            }
            Event::Reset(function) => {
                self.resets -= 1;
                self.unseen[function] = false;
                self.holds[function] = false;
                self.nudged |= self.fault != Fault::SilentReset;
            }
        }
    }

    /// Who is called takes notice of what has called him.
    fn take_call(&mut self) -> bool {
        std::mem::take(&mut self.edge) | std::mem::take(&mut self.nudged)
    }
}

/// A function, as the keeper sees it.
struct Function<'w> {
    world: &'w RefCell<World>,
    number: usize,
}

impl Function<'_> {
    /// Learns what it asks for. The line falls.
    fn status(&self) -> bool {
        let mut world = self.world.borrow_mut();
        world.step();
        world.log.push(format!("status {}", self.number));
        match world.fault {
            Fault::LeavesUp => world.holds[self.number],
            _ => std::mem::take(&mut world.holds[self.number]),
        }
    }

    fn look(&self) {
        let mut world = self.world.borrow_mut();
        world.step();
        world.log.push(format!("look {}", self.number));
        world.unseen[self.number] = false;
    }
}

impl Sharer for Function<'_> {
    fn answer(&self) -> bool {
        let looks_first = self.world.borrow().fault == Fault::LooksFirst;
        if looks_first && self.world.borrow().holds[self.number] {
            self.look();
            return self.status();
        }
        let asked = self.status();
        if asked {
            self.look();
        }
        asked
    }
}

/// One run of the keeper: from being called until it sleeps again.
fn run(functions: &[&Function<'_>], fault: Fault) {
    match fault {
        Fault::OnePass => {
            for function in functions {
                function.answer();
            }
        }
        Fault::EndsEarly => {
            while functions
                .iter()
                .filter(|function| function.answer())
                .count()
                == functions.len()
            {}
        }
        _ => while settle(functions) == Settled::NotYet {},
    }
}

/// Tries all orders. Returns the number of runs, or how something was lost.
fn try_all(fault: Fault, asks: usize, resets: usize) -> Result<u64, Vec<String>> {
    let mut script = Script::default();
    let mut runs = 0;
    loop {
        let world = RefCell::new(World {
            script,
            fault,
            asks,
            resets,
            holds: [false; FUNCTIONS],
            unseen: [false; FUNCTIONS],
            edge: false,
            nudged: false,
            log: Vec::new(),
        });
        let functions: Vec<_> = (0..FUNCTIONS)
            .map(|number| Function {
                world: &world,
                number,
            })
            .collect();
        let functions: Vec<_> = functions.iter().collect();
        loop {
            world.borrow_mut().step();
            if fault == Fault::NotesLate {
                let is_called = world.borrow().edge || world.borrow().nudged;
                if is_called {
                    run(&functions, fault);
                    world.borrow_mut().step();
                    world.borrow_mut().take_call();
                    continue;
                }
            } else if world.borrow_mut().take_call() {
                if fault == Fault::LeavesUp {
                    // It would not end.
                    let _ = functions
                        .iter()
                        .filter(|function| function.answer())
                        .count();
                } else {
                    run(&functions, fault);
                }
                continue;
            }
            // It sleeps, and nothing calls it.
            let mut world = world.borrow_mut();
            if world.unseen.contains(&true) {
                return Err(std::mem::take(&mut world.log));
            }
            if world.asks == 0 && world.resets == 0 {
                break;
            }
            // What is still to come does not wait for ever.
            let event = match world.asks {
                0 => Event::Reset(0),
                _ => Event::Asks(0),
            };
            world.happens(event);
        }
        runs += 1;
        script = world.into_inner().script;
        if !script.advance() {
            return Ok(runs);
        }
    }
}

#[test]
fn nothing_is_lost_whenever_functions_ask() {
    let runs = try_all(Fault::None, 4, 0).unwrap_or_else(|log| panic!("{log:#?}"));
    assert!(runs > 10_000, "only {runs} orders");
}

#[test]
fn nothing_is_lost_when_functions_are_reset_meanwhile() {
    let runs = try_all(Fault::None, 3, 1).unwrap_or_else(|log| panic!("{log:#?}"));
    assert!(runs > 5_000, "only {runs} orders");
}

#[test]
fn the_model_finds_what_is_lost_by_who_does_it_wrong() {
    for (fault, asks, resets) in [
        (Fault::OnePass, 2, 0),
        (Fault::EndsEarly, 2, 0),
        (Fault::LooksFirst, 2, 0),
        (Fault::LeavesUp, 2, 0),
        (Fault::SilentReset, 2, 1),
        (Fault::NotesLate, 2, 0),
    ] {
        let found = try_all(fault, asks, resets);
        assert!(found.is_err(), "{fault:?} is not found out");
    }
}

/// A function that asks whatever is done does not keep the core for ever.
#[test]
fn a_function_that_always_asks_does_not_keep_the_core() {
    struct Always;
    impl Sharer for Always {
        fn answer(&self) -> bool {
            true
        }
    }
    assert_eq!(settle(&[&Always]), Settled::NotYet);
    struct Never;
    impl Sharer for Never {
        fn answer(&self) -> bool {
            false
        }
    }
    assert_eq!(settle(&[&Never, &Never]), Settled::Nothing);
}
