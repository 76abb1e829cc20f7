//! What is backed up: the same files for everybody, half of each as rows of text, half noise, from a seed.

use std::{
    fs,
    io::{Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

pub const BYTES: usize = FILES * FILE;

const FILES: usize = 8;
const FILE: usize = 32_000_000;

pub struct Data {
    folder: PathBuf,
    noise: Noise,
}

/// xorshift64*.
struct Noise(u64);

impl Data {
    /// Writes it anew, other data for another seed.
    pub fn new(folder: &Path, seed: u64) -> Self {
        let mut data = Self {
            folder: folder.join("data"),
            noise: Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        };
        fs::create_dir_all(&data.folder).expect("a directory");
        for number in 0..FILES {
            let mut content = data.rows(number, FILE / 2);
            content.extend(data.noise.bytes(FILE / 2));
            fs::write(data.file(number), content).expect("the data is written");
        }
        data
    }

    /// One per cent of each file, all in one range.
    pub fn change(&mut self) {
        for number in 0..FILES {
            let range = self.noise.bytes(FILE / 100);
            let mut file = fs::OpenOptions::new()
                .write(true)
                .open(self.file(number))
                .expect("the file is there");
            file.seek(SeekFrom::Start((FILE / 4) as u64))
                .and_then(|_| file.write_all(&range))
                .expect("the data is changed");
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("table.{number:04}"))
    }

    fn rows(&mut self, number: usize, length: usize) -> Vec<u8> {
        let mut rows = Vec::with_capacity(length + 100);
        let mut id = number * 1_000_000;
        while rows.len() < length {
            let word = self.noise.next();
            let row = format!(
                "{id}\t{}\t2026-{:02}-{:02} 12:00:00\tshipped\tcustomer-{:05}\t{}.{:02}\n",
                word % 100_000,
                word % 12 + 1,
                word % 28 + 1,
                word % 20_011,
                word % 500,
                word % 100
            );
            rows.extend(row.into_bytes());
            id += 1;
        }
        rows.truncate(length);
        rows
    }
}

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        let mut bytes: Vec<u8> = words.collect();
        bytes.truncate(length);
        bytes
    }
}
