//! Installs a software Vulkan adapter (Mesa's lavapipe) where the package manager is apt.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PACKAGES: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Installs it, or says in words what a person has to do.
pub(crate) fn software_vulkan() -> Result<(), String> {
    if !cfg!(target_os = "linux") || find("apt-get").is_none() {
        return Err(by_hand());
    }
    let sudo = match (is_root(), find("sudo")) {
        (true, _) => None,
        (false, Some(sudo)) => Some(sudo),
        (false, None) => {
            return Err(format!(
                "a software Vulkan adapter is needed and this user may not install it (no sudo). As root:\n  \
                 apt-get update && apt-get install --yes {}",
                PACKAGES.join(" ")
            ));
        }
    };
    eprintln!("xtask: installing {} with apt-get", PACKAGES.join(" and "));
    // An update may fail on one stale source of many; the installation decides.
    if let Err(message) = apt_get(sudo.as_deref(), &["update"]) {
        eprintln!("xtask: {message}; going on");
    }
    let mut install = vec!["install", "--yes", "--no-install-recommends"];
    install.extend(PACKAGES);
    apt_get(sudo.as_deref(), &install)
}

fn apt_get(sudo: Option<&Path>, args: &[&str]) -> Result<(), String> {
    let mut command = match sudo {
        // `-n`: a password prompt would wait for ever in an unattended run.
        Some(sudo) => {
            let mut command = Command::new(sudo);
            command.args(["-n", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
            command
        }
        None => {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive");
            command
        }
    };
    let shown = format!("{}apt-get {}", if sudo.is_some() { "sudo " } else { "" }, args.join(" "));
    match command.args(["-q", "-o", "Acquire::Retries=3"]).args(args).stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` failed ({status})")),
        Err(error) => Err(format!("`{shown}` could not be started: {error}")),
    }
}

/// What to install where there is no apt, by the package manager at hand.
fn by_hand() -> String {
    let known = [
        ("dnf", "sudo dnf install mesa-vulkan-drivers vulkan-loader"),
        ("zypper", "sudo zypper install libvulkan_lvp libvulkan1"),
        ("pacman", "sudo pacman -S vulkan-swrast vulkan-icd-loader"),
        ("apk", "sudo apk add mesa-vulkan-swrast vulkan-loader"),
        ("xbps-install", "sudo xbps-install mesa-vulkan-lavapipe vulkan-loader"),
        ("pkg", "sudo pkg install mesa-dri vulkan-loader"),
    ];
    let hint = known.iter().find(|(program, _)| find(program).is_some()).map(|(_, line)| *line);
    format!(
        "the GPU tests need a Vulkan adapter. Install your GPU's Vulkan driver, or Mesa's software one (lavapipe) \
         and the Vulkan loader:\n  {}",
        hint.unwrap_or("the packages that hold libvulkan.so.1 and lvp_icd.*.json")
    )
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A program on the `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
