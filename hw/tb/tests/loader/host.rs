//! Host memory in front of the loader: reads are answered in order, each after a time of its own.

use super::common::made::Random;
use super::fill::{Classes, fill, ranges_fit};
use std::collections::{HashMap, VecDeque};
use weir_contract::enums::{BlockType, TableError};
use weir_contract::layouts::Geometry;
use weir_device::{DmaMemory, Permission};
use weir_hw_tb::{Loader, LoaderInput, LoaderOutput, TableWrite};
use weir_sim::banks::Banks;
use weir_sim::dma::Bus;
use weir_sim::tables::{Image, Refusal};

/// Words by table, window length, part and address.
pub type Words = HashMap<(u8, u8, u8, u32), [u8; 128]>;

/// How host memory answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Cycles of an answer, at most.
    pub latency: u64,
    /// A read is not taken, thousandths of cycles.
    pub stall: u64,
}

/// A bit of the image that is another one in one read of it, or a read that fails.
#[derive(Debug, Clone, Copy)]
pub struct Flicker {
    pub at: u64,
    pub bit: Option<u8>,
    /// The how manyth read of that byte.
    pub read: u32,
}

/// What a load gave.
#[derive(Debug, Default)]
pub struct Outcome {
    pub refusal: Option<Refusal>,
    pub words: Words,
    /// Bank that was written.
    pub bank: Option<u8>,
    pub cycles: u64,
    /// Cycles until the first word was written.
    pub checked: u64,
    pub reads: u64,
}

/// A loader and its host.
pub struct Host {
    pub loader: Loader,
    pub bus: Bus,
    pub address: u64,
    pub length: u64,
    pub timing: Timing,
    pub flicker: Option<Flicker>,
    /// Banks that frames have.
    pub in_use: u8,
    /// EPOCH is written so many cycles behind TABLE_LOAD.
    pub epoch: Option<(u64, u32)>,
    memory: Option<DmaMemory>,
    /// How often the byte that flickers was read.
    pub seen: u32,
    r: Random,
    now: u64,
    answers: VecDeque<(u64, Option<[u8; 64]>)>,
}

impl Host {
    pub fn new(seed: u64) -> Option<Host> {
        let mut host = Host {
            loader: Loader::new()?,
            bus: Bus { master: true, ..Bus::default() },
            address: 0,
            length: 0,
            timing: Timing::default(),
            flicker: None,
            in_use: 0,
            epoch: None,
            memory: None,
            seen: 0,
            r: Random(seed),
            now: 0,
            answers: VecDeque::new(),
        };
        let mut input = host.input();
        input.reset = true;
        for _ in 0..4 {
            host.loader.cycle(&input);
        }
        Some(host)
    }

    /// The image in host memory; TABLE_LENGTH is its length.
    pub fn put(&mut self, image: &[u8]) {
        let memory = DmaMemory::new(image.len().max(1)).unwrap();
        assert!(memory.write(0, image));
        self.bus.iommu = Default::default();
        self.address = self.bus.iommu.map(&memory, Permission::Read);
        self.length = image.len() as u64;
        self.memory = Some(memory);
    }

    fn input(&self) -> LoaderInput {
        LoaderInput {
            reset: false,
            load: false,
            epoch: None,
            ask_ready: false,
            answer: None,
            in_use: self.in_use,
            address: self.address,
            length: self.length,
        }
    }

    fn read(&mut self, at: u64, bytes: usize) -> Option<[u8; 64]> {
        // What is behind the bytes that were asked for is anything.
        let mut line = [0xa5; 64];
        self.bus.read(at, &mut line[..bytes]).ok()?;
        if let Some(f) = self.flicker
            && let Some(n) = (self.address + f.at).checked_sub(at).filter(|n| *n < bytes as u64)
        {
            self.seen += 1;
            if self.seen == f.read + 1 {
                line[n as usize] ^= 1 << f.bit?;
            }
        }
        Some(line)
    }

    /// A cycle; `change` what else goes in.
    pub fn cycle(&mut self, change: impl FnOnce(&mut LoaderInput)) -> LoaderOutput {
        let mut input = self.input();
        input.ask_ready = self.r.below(1000) >= self.timing.stall;
        let ready = self.answers.front().is_some_and(|(at, _)| *at <= self.now);
        input.answer = if ready { self.answers.pop_front().map(|(_, line)| line) } else { None };
        change(&mut input);
        let out = self.loader.cycle(&input);
        self.now += 1;
        if let Some((at, bytes)) = out.ask().filter(|_| input.ask_ready) {
            assert!((1..=64).contains(&bytes));
            let line = self.read(at, bytes);
            let wait = if self.timing.latency > 0 { self.r.below(self.timing.latency) } else { 0 };
            self.answers.push_back((self.now + wait, line));
            assert!(self.answers.len() <= 16, "more reads than the loader has room for");
        }
        out
    }

    /// TABLE_LOAD, until it has ended. `watch`: every cycle, with what it writes.
    pub fn load(&mut self, mut watch: impl FnMut(&mut Host, Option<&TableWrite>)) -> Outcome {
        let begin = self.now;
        let mut outcome = Outcome::default();
        self.seen = 0;
        self.cycle(|input| input.load = true);
        loop {
            let epoch = self.epoch.filter(|(at, _)| begin + at == self.now).map(|(_, epoch)| epoch);
            let out = self.cycle(|input| input.epoch = epoch);
            outcome.reads += u64::from(out.ask().is_some());
            let write = out.write();
            watch(self, write.as_ref());
            if let Some(write) = write {
                if outcome.words.is_empty() {
                    outcome.checked = self.now - begin;
                }
                assert!(outcome.bank.is_none_or(|bank| bank == write.bank), "two banks are written");
                outcome.bank = Some(write.bank);
                outcome.words.insert((write.table, write.length, write.part, write.address), write.data);
            }
            if out.ended() {
                outcome.cycles = self.now - begin;
                outcome.refusal = out.refusal().map(|(error, block, offset)| Refusal {
                    error: TableError::from_raw(error).unwrap(),
                    block,
                    offset,
                });
                assert_eq!(out.state(), if outcome.refusal.is_some() { 3 } else { 2 });
                return outcome;
            }
            assert!(self.now - begin < 20_000_000, "the loader hangs");
        }
    }

    /// EPOCH is written: what it changed, and whether it was unknown.
    pub fn activate(&mut self, epoch: u32) -> (bool, bool) {
        self.cycle(|input| input.epoch = Some(epoch));
        let out = self.cycle(|_| ());
        (out.changed(), out.unknown())
    }

    /// What the model and the Rust loader say of the image: why it is refused, or all words of a bank. What does not fit the
    /// memories is told behind the geometry.
    pub fn expected(&mut self) -> Result<Words, Refusal> {
        let mut banks = Banks::default();
        let result = banks.load(&mut self.bus, self.address, self.length);
        if let Err(refusal) = result
            && (refusal.block == 0
                || matches!(
                    refusal.error,
                    TableError::BlockBounds | TableError::BlockCrc | TableError::BlockTwice | TableError::BlockUnknown
                ))
        {
            return Err(refusal);
        }
        let mut bytes = vec![0; self.length as usize];
        self.bus.read(self.address, &mut bytes).unwrap();
        let image = match Image::open(&bytes) {
            Ok(image) => image,
            Err(refusal) => return Err(refusal),
        };
        let g = Geometry::read(image.sized(BlockType::Geometry, Geometry::SIZE)?).unwrap();
        if !super::fill::sizes_fit(&g) {
            let offset = image.offset(BlockType::Geometry);
            return Err(Refusal { error: TableError::Capacity, block: BlockType::Geometry as u32, offset });
        }
        result?;
        let tables = &banks.shadow.unwrap().tables;
        for (kind, fits) in
            [BlockType::AddressClassesV4, BlockType::AddressClassesV6].into_iter().zip(ranges_fit(tables))
        {
            if !fits {
                return Err(Refusal { error: TableError::Capacity, block: kind as u32, offset: image.offset(kind) });
            }
        }
        let mut words = Words::new();
        fill(tables, &Classes::of(&g), 0, &mut |write| {
            words.insert((write.table, write.length, write.part, write.address), write.data);
        });
        Ok(words)
    }
}

/// The first word that is not the same.
pub fn difference(got: &Words, want: &Words) -> Option<String> {
    let mut keys: Vec<_> = got.keys().chain(want.keys()).collect();
    keys.sort_unstable();
    let key = keys.into_iter().find(|key| got.get(*key) != want.get(*key))?;
    let (table, length, part, address) = key;
    Some(format!(
        "table {table}, length {length}, part {part}, address {address}:\n got {:x?}\nwant {:x?}",
        got.get(key),
        want.get(key)
    ))
}
