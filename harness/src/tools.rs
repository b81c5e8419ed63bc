//! The programs that do not come with cargo: which are needed, where they are, how to get them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A program that the harness calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// The virtual machine.
    Qemu,
    /// Makes ext4 file systems from folders, as an ordinary user.
    Mke2fs,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Qemu, Self::Mke2fs];

    /// The name of the program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86_64",
            Self::Mke2fs => "mke2fs",
        }
    }

    /// The environment variable that names another program to use.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Qemu => "PHYROS_QEMU",
            Self::Mke2fs => "PHYROS_MKE2FS",
        }
    }

    /// The package of Debian, Ubuntu and their kin that contains the program.
    pub fn package(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-system-x86",
            Self::Mke2fs => "e2fsprogs",
        }
    }

    /// What it is needed for.
    pub fn purpose(self) -> &'static str {
        match self {
            Self::Qemu => "runs the operating system",
            Self::Mke2fs => "makes ext4 disk images",
        }
    }

    /// Where the program is, if it is installed.
    ///
    /// What the environment names is taken as it is: nobody wants another program installed then.
    pub fn find(self) -> Option<PathBuf> {
        match env::var_os(self.variable()) {
            Some(path) => Some(PathBuf::from(path)),
            None => in_path(self.program()),
        }
    }

    /// The program, ready for its arguments.
    ///
    /// # Errors
    /// If it is not installed: says how to get it.
    pub fn command(self) -> Result<Command> {
        Ok(Command::new(self.required()?))
    }

    /// The same, but the program dies with the thread that has started it, however that ends.
    ///
    /// Otherwise a machine that hangs would live on when its test is killed. Where `setpriv` is
    /// missing, which is a part of util-linux, this is `command`.
    pub fn dependent_command(self) -> Result<Command> {
        let path = self.required()?;
        let Some(setpriv) = in_path("setpriv") else {
            return Ok(Command::new(path));
        };
        let mut command = Command::new(setpriv);
        command.args(["--pdeathsig", "KILL", "--"]).arg(path);
        Ok(command)
    }

    /// Where the program is.
    ///
    /// # Errors
    /// If it is not installed: says how to get it.
    pub fn required(self) -> Result<PathBuf> {
        self.find().with_context(|| {
            format!(
                "`{}` is missing, which {}: `cargo xtask setup` installs it",
                self.program(),
                self.purpose()
            )
        })
    }

    /// The first line of what the program says about its version.
    pub fn version(self) -> Result<String> {
        let flag = match self {
            Self::Qemu => "--version",
            Self::Mke2fs => "-V",
        };
        let mut command = self.command()?;
        let output = command
            .arg(flag)
            .stdin(Stdio::null())
            .output()
            .with_context(|| {
                format!(
                    "`{}` could not be started",
                    command.get_program().to_string_lossy()
                )
            })?;
        // mke2fs tells its version on the error stream.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        Ok(text
            .lines()
            .next()
            .unwrap_or("(it says nothing)")
            .trim()
            .to_owned())
    }
}

/// The tools that are not installed.
pub fn missing() -> Vec<Tool> {
    Tool::ALL
        .into_iter()
        .filter(|tool| tool.find().is_none())
        .collect()
}

/// Installs what is missing with the system's package manager, saying what it does.
///
/// # Errors
/// Without root or without apt nothing is done, and the error says what to do by hand.
pub fn install(missing: &[Tool]) -> Result<()> {
    if missing.is_empty() {
        return Ok(());
    }
    let steps = commands(missing);
    let by_hand = steps
        .iter()
        .map(|step| format!("sudo {step}"))
        .collect::<Vec<_>>()
        .join(" && ");
    for tool in missing {
        eprintln!("{} is missing: it {}", tool.program(), tool.purpose());
    }
    if in_path("apt-get").is_none() {
        let packages = packages(missing).join("` and `");
        bail!(
            "there is no apt-get here, so install the programs with your own package manager \
             (Debian calls the packages `{packages}`), then run this again"
        );
    }
    if !is_root() {
        bail!("only root may install packages. Run this, then try again:\n\n    {by_hand}\n");
    }
    for step in steps {
        eprintln!("$ {step}");
        let mut words = step.split(' ');
        let status = Command::new(words.next().unwrap_or_default())
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .stdout(std::io::stderr())
            .status()
            .with_context(|| format!("`{step}` could not be started"))?;
        if !status.success() {
            bail!("`{step}` failed ({status}); what it printed above says why");
        }
    }
    match self::missing().first() {
        Some(tool) => bail!(
            "`{}` is still missing after the installation",
            tool.program()
        ),
        None => Ok(()),
    }
}

/// The commands that install these tools.
pub fn commands(missing: &[Tool]) -> [String; 2] {
    let packages = packages(missing).join(" ");
    [
        "apt-get update".to_owned(),
        format!("apt-get install --yes --no-install-recommends {packages}"),
    ]
}

fn packages(tools: &[Tool]) -> Vec<&'static str> {
    tools.iter().map(|tool| tool.package()).collect()
}

/// An executable file of this name in the search path, or where root's programs are.
pub(crate) fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // An ordinary user's search path often leaves out `sbin`, where mke2fs is.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    folders
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Whether this process belongs to root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(Path::new("/proc/self")).is_ok_and(|process| process.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installing_names_exactly_what_is_missing() {
        let [update, install] = commands(&[Tool::Mke2fs]);
        assert_eq!(update, "apt-get update");
        assert_eq!(
            install,
            "apt-get install --yes --no-install-recommends e2fsprogs"
        );
        assert!(commands(&Tool::ALL)[1].ends_with(" qemu-system-x86 e2fsprogs"));
    }

    #[test]
    fn nothing_missing_is_nothing_to_do() {
        install(&[]).unwrap();
    }

    #[test]
    fn programs_are_found_in_the_search_path_only_if_they_exist() {
        assert!(in_path("sh").is_some());
        assert_eq!(in_path("no-such-program-anywhere"), None);
    }
}
