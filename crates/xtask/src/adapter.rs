//! Whether this machine has an adapter that wgpu can reach, told without linking a graphics library: from the
//! manifests that Vulkan drivers install and from the loader's presence.
//!
//! The folders are those of the Vulkan loader's documentation ("LoaderDriverInterface", driver discovery on Linux).

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What [`find`] saw.
pub(crate) enum Found {
    /// An adapter, in words.
    Usable(String),
    /// None, and why.
    Nothing(String),
}

/// Looks for an adapter. macOS and Windows bring their own API (Metal, DX12 with its software rasteriser).
pub(crate) fn find() -> Found {
    if cfg!(target_os = "macos") {
        return Found::Usable("Metal".into());
    }
    if cfg!(windows) {
        return Found::Usable("DX12".into());
    }
    if !has_loader() {
        return Found::Nothing("the Vulkan loader (libvulkan.so.1) is not installed".into());
    }
    let hardware = ["/dev/dri/renderD128", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd"]
        .iter()
        .any(|node| Path::new(node).exists());
    match choose(&manifests(|name| env::var_os(name)), hardware) {
        // Installing drivers does not help where the environment hides them.
        Found::Nothing(why)
            if env::var_os("VK_DRIVER_FILES").or(env::var_os("VK_ICD_FILENAMES")).is_some() =>
        {
            Found::Nothing(format!(
                "{why} that VK_DRIVER_FILES or VK_ICD_FILENAMES names; unset it to look in all folders"
            ))
        }
        found => found,
    }
}

/// Of the drivers' manifests, the first that can work here: a hardware driver needs a device node, a software one
/// does not.
fn choose(manifests: &[PathBuf], hardware: bool) -> Found {
    let found = manifests
        .iter()
        .filter(|path| hardware && !is_software(path))
        .chain(manifests.iter().filter(|path| is_software(path)))
        .next();
    match found {
        Some(path) => Found::Usable(format!("Vulkan ({})", path.display())),
        None if manifests.is_empty() => Found::Nothing("no Vulkan driver is installed".into()),
        None => Found::Nothing(
            "the installed Vulkan drivers are for hardware that this machine does not have".into(),
        ),
    }
}

/// Mesa's lavapipe or SwiftShader, by the manifest's name.
fn is_software(manifest: &Path) -> bool {
    let name = manifest.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    name.starts_with("lvp") || name.contains("lavapipe") || name.contains("swiftshader")
}

/// The manifests that the loader would read. `VK_DRIVER_FILES` (before: `VK_ICD_FILENAMES`) stands in for all folders.
fn manifests(var: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    if let Some(list) = var("VK_DRIVER_FILES").or_else(|| var("VK_ICD_FILENAMES")) {
        return env::split_paths(&list).flat_map(expand).collect();
    }
    let home = var("HOME").map(PathBuf::from);
    let home_folder = |name: &str, default: &str| {
        var(name).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(default)))
    };
    let search = |name: &str, default: &str| -> Vec<PathBuf> {
        env::split_paths(&var(name).unwrap_or_else(|| default.into())).collect()
    };
    let mut folders = Vec::new();
    folders.extend(home_folder("XDG_CONFIG_HOME", ".config"));
    folders.extend(search("XDG_CONFIG_DIRS", "/etc/xdg"));
    folders.extend(["/etc", "/usr/local/etc"].map(PathBuf::from));
    folders.extend(home_folder("XDG_DATA_HOME", ".local/share"));
    folders.extend(search("XDG_DATA_DIRS", "/usr/local/share:/usr/share"));
    folders.extend(["/usr/local/share", "/usr/share"].map(PathBuf::from));
    let mut found: Vec<PathBuf> = Vec::new();
    let added = env::split_paths(&var("VK_ADD_DRIVER_FILES").unwrap_or_default()).collect::<Vec<_>>();
    for path in added.into_iter().chain(folders.into_iter().map(|folder| folder.join("vulkan/icd.d"))) {
        for manifest in expand(path) {
            if !found.contains(&manifest) {
                found.push(manifest);
            }
        }
    }
    found
}

/// A manifest stands for itself, a folder for the manifests in it, in order of their names.
fn expand(path: PathBuf) -> Vec<PathBuf> {
    let is_manifest = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    if path.is_file() {
        return Some(path).into_iter().filter(is_manifest).collect();
    }
    let entries = path.read_dir().map(|entries| entries.flatten().map(|entry| entry.path()));
    let mut inside: Vec<PathBuf> = entries.into_iter().flatten().filter(is_manifest).collect();
    inside.sort();
    inside
}

/// Whether the dynamic linker knows libvulkan.so.1: by its cache, else by the folders it is usually in.
fn has_loader() -> bool {
    let name = "libvulkan.so.1";
    for ldconfig in ["ldconfig", "/sbin/ldconfig"] {
        if let Ok(output) = Command::new(ldconfig).arg("-p").output()
            && String::from_utf8_lossy(&output.stdout).contains(name)
        {
            return true;
        }
    }
    let searched = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let usual =
        ["/usr/lib", "/usr/lib64", "/lib64", "/usr/local/lib", "/run/opengl-driver/lib"].map(PathBuf::from);
    env::split_paths(&searched).chain(usual).any(|folder| folder.join(name).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn hardware_driver_needs_hardware() {
        let both = paths(&["/x/intel_icd.json", "/x/lvp_icd.x86_64.json"]);
        assert!(matches!(choose(&both, false), Found::Usable(what) if what.contains("lvp")));
        assert!(matches!(choose(&both, true), Found::Usable(what) if what.contains("intel")));
        assert!(matches!(choose(&both[..1], false), Found::Nothing(_)));
        assert!(matches!(choose(&[], true), Found::Nothing(_)));
    }

    #[test]
    fn a_driver_list_in_the_environment_replaces_the_folders() {
        let folder = env::temp_dir().join(format!("xtask-icd-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["b.json", "a.json", "note.txt"] {
            std::fs::write(folder.join(name), "{}").unwrap();
        }
        let by_folder =
            manifests(|name| (name == "VK_DRIVER_FILES").then(|| folder.clone().into_os_string()));
        let file = folder.join("b.json").into_os_string();
        let by_file = manifests(|name| (name == "VK_ICD_FILENAMES").then(|| file.clone()));
        let missing = manifests(|name| (name == "VK_DRIVER_FILES").then(|| "/no/such/file.json".into()));
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(by_folder, [folder.join("a.json"), folder.join("b.json")]);
        assert_eq!(by_file, [folder.join("b.json")]);
        assert!(missing.is_empty());
    }
}
