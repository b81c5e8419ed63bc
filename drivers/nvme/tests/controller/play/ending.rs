//! How a game ends: nothing new happens, everything lands, and what has survived works.

use super::row::Row;
use super::{Game, in_time, in_time_of};
use nvme::{Error, execute};

impl Game {
    /// All is well with the device from now on.
    pub(super) fn repair(&mut self, is_reset: bool) {
        let before = self.machine.model().clock;
        {
            let mut model = self.machine.model();
            self.is_honest = false;
            model.repair();
            model.ignores_stop = false;
        }
        if is_reset {
            _ = self.bench.reset();
        }
        in_time(&self.machine, before);
    }

    /// Nothing new happens, and all that was asked for ends.
    pub(super) fn let_all_land(&mut self) {
        {
            let mut model = self.machine.model();
            model.fates.clear();
            model.mischief = None;
        }
        let before = self.machine.model().clock;
        loop {
            self.land();
            // A call may have ended with a queue that nobody looks after yet.
            self.look_after_queues();
            if self.flights.is_empty() && self.calls.is_empty() {
                return;
            }
            self.bench.sleep(1_000_000);
            // Who asks for a reset while there is one waits for that, and for another.
            in_time_of(2, &self.machine, before);
        }
    }

    /// The last moves. Returns whether memory may be lost.
    pub(super) fn end(mut self, row: &mut Row<'_>) -> bool {
        let how = row.byte();
        if how & 1 == 0 {
            self.settle();
        }
        if how & 2 == 0 {
            self.revive(row);
        }
        let before = self.machine.model().clock;
        if how & 4 != 0 {
            _ = self.bench.shutdown();
        }
        in_time(&self.machine, before);
        self.look_at_all_blocks();
        let last = self.bench.controller.clone();
        let Self {
            bench,
            flights,
            ghosts,
            calls,
            queues,
            machine,
            may_lose,
            ..
        } = self;
        drop((ghosts, calls));
        // Requests may outlive everything that they were made with.
        match how & 8 {
            0 => {
                drop(flights);
                drop(bench);
            }
            _ => {
                drop(bench);
                drop(flights);
            }
        }
        drop(queues);
        let (lent, lost) = (machine.model().lent as u64, last.lost());
        assert!(lent <= lost, "{lent} not come back, {lost} known");
        assert!(may_lose || lost == 0, "memory was lost for no reason");
        may_lose
    }

    /// Without more trouble, all requests end, and the controller lives or is dead.
    fn settle(&mut self) {
        self.machine.model().gone_after = None;
        self.let_all_land();
        // A reset may be on its way that nobody has asked for.
        let before = self.machine.model().clock;
        loop {
            self.bench.sleep(20_000_000);
            let is_dead = self.bench.dead().is_some();
            let queues = self.queues.borrow();
            if queues.iter().all(|queue| {
                let queue = queue.borrow();
                queue.is_idle() && !queue.is_held() && (!is_dead || queue.failure().is_some())
            }) {
                return;
            }
            in_time(&self.machine, before);
        }
    }

    /// A sound device that is repaired works again, on each queue.
    fn revive(&mut self, row: &mut Row<'_>) {
        self.repair(false);
        {
            let mut model = self.machine.model();
            model.bad_blocks.clear();
            model.resize(1, 4096);
        }
        let before = self.machine.model().clock;
        let result = self.bench.reset();
        in_time(&self.machine, before);
        if !self.is_sound || self.may_lose {
            return;
        }
        assert_eq!(result, Ok(()), "repaired, and not reset");
        self.let_all_land();
        self.settle();
        assert_eq!(self.bench.dead(), None, "repaired, and dead");
        let memory = crate::model::Data::owned(&self.machine, 1, nvme::Access::FROM_DEVICE);
        let mut memory = Some(memory);
        let queues = self.queues.borrow().clone();
        for queue in queues {
            let block = row.below(80);
            let operation = self.bench.namespace(1).and_then(|namespace| {
                let operation = namespace.read(block, 8);
                operation.map_err(Error::Request)
            });
            let operation = operation.expect("it is there");
            let data = memory.take().expect("it has come back");
            let done = nvme::Request::with_data(operation, data);
            let done = self.bench.run(execute(queue, done));
            assert_eq!(done.result.map(|_| ()), Ok(()), "repaired, and not read");
            let data = done.data.expect("it comes back");
            let found = self.machine.model().memory.contents(data.list());
            assert!(found == self.bench.disk(1, block, 8), "wrong data");
            memory = Some(data);
        }
    }
}
