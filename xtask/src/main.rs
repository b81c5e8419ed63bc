//! `cargo xtask`: everything that one does with Phyros, in one program.
//!
//! Each verb is a module. What they share, the harness knows: how to build an image, boot a machine
//! and understand its end.

mod book;
mod clients;
mod currency;
mod demo;
mod doctor;
mod ending;
mod image;
mod iostress;
mod lint;
mod mutants;
mod net;
mod rows;
mod run;
mod serve;
mod setup;
mod tally;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, boots, tests and checks Phyros.
///
/// Start with `cargo xtask run`: it needs no arguments, and leaves you at the prompt of a small
/// operating system in a virtual machine.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(Box<run::Options>),
    Test(test::Options),
    Setup(setup::Options),
    Doctor(doctor::Options),
    Lint(lint::Options),
    Image(image::Options),
    Book(book::Options),
    Clients(clients::Options),
    Iostress(iostress::Options),
    Mutants(mutants::Options),
    Rows(rows::Options),
}

fn main() -> ExitCode {
    let outcome: Result<bool> = match Cli::parse().verb {
        Verb::Run(options) => run::run(&options),
        Verb::Test(options) => test::run(&options),
        Verb::Setup(options) => setup::run(&options),
        Verb::Doctor(options) => doctor::run(&options),
        Verb::Lint(options) => lint::run(&options),
        Verb::Image(options) => image::run(&options),
        Verb::Book(options) => book::run(&options),
        Verb::Clients(options) => clients::run(&options),
        Verb::Iostress(options) => iostress::run(&options),
        Verb::Mutants(options) => mutants::run(&options),
        Verb::Rows(options) => rows::run(&options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
