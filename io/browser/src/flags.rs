//! Chromium's command line: upstream's fixed flags, what makes it lighter, what this page needs, what the operator wants.
//!
//! ```text
//! fixed (§10.4) ◄ lighter ◄ this screen, sandbox, insecure ◄ chrome_flags
//! ```
//!
//! Later wins, name by name. The URL is not among them: command lines are world readable.
//!
//! Measured on Chromium 156 (canvas animation 30 fps and a tone, 1280×720): with upstream's flags alone 388 MB PSS in nine
//! processes and 0.87 s to the page, with these 297 MB in four and 0.4 s, at the same 0.15 core. An app window has no tab
//! strip and thereby none of the browser's own web UI (a renderer of 75 MB); without a sandbox, a second zygote and separate
//! GPU and network processes protect nothing. Of the 297 MB, 215 are pages of Chromium's own files, shared by all recordings of a machine.

use crate::Config;
use recording::settings::ChromeFlag;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// Upstream's fixed flags (egress-behaviour.md §10.4). The feature lists are below.
const FIXED: &[(&str, Option<&str>)] = &[
    ("no-first-run", None),
    ("no-default-browser-check", None),
    ("disable-gpu", None),
    ("disable-infobars", None),
    ("excludeSwitches", Some("enable-automation")),
    ("disable-background-networking", None),
    ("disable-background-timer-throttling", None),
    ("disable-backgrounding-occluded-windows", None),
    ("disable-breakpad", None),
    ("disable-client-side-phishing-detection", None),
    ("disable-default-apps", None),
    ("disable-dev-shm-usage", None),
    ("disable-extensions", None),
    ("disable-hang-monitor", None),
    ("disable-ipc-flooding-protection", None),
    ("disable-popup-blocking", None),
    ("disable-prompt-on-repost", None),
    ("disable-renderer-backgrounding", None),
    ("disable-sync", None),
    ("force-color-profile", Some("srgb")),
    ("metrics-recording-only", None),
    ("safebrowsing-disable-auto-update", None),
    ("password-store", Some("basic")),
    ("use-mock-keychain", None),
    ("kiosk", None),
    ("disable-translate", None),
    ("autoplay-policy", Some("no-user-gesture-required")),
    ("window-position", Some("0,0")),
    ("remote-debugging-port", Some("0")),
];

/// Costs less and shows the same.
const LIGHTER: &[(&str, Option<&str>)] = &[
    // Neither tabs nor address field; about:blank is not accepted here.
    ("app", Some("data:text/html,")),
    // The page takes over the process of the empty page instead of starting one: 60 ms.
    ("renderer-process-limit", Some("1")),
    ("disable-site-isolation-trials", None),
    ("disable-component-update", None),
    ("disable-component-extensions-with-background-pages", None),
    ("disable-domain-reliability", None),
    ("no-pings", None),
    ("noerrdialogs", None),
    ("disk-cache-size", Some("33554432")),
    // WebGL on the processor; without, it fails when there is no GPU.
    ("enable-unsafe-swiftshader", None),
];

/// Only without a sandbox: walls between processes that are then no walls.
const UNWALLED: &[(&str, Option<&str>)] = &[
    ("no-sandbox", None),
    // The other zygote stays: renderers forked from it share 28 MB of relocated data with it.
    ("no-unsandboxed-zygote", None),
    ("in-process-gpu", None),
];

const FEATURES: &str = "NetworkService,NetworkServiceInProcess";
/// What Chromium calls it today.
const FEATURES_UNWALLED: &str = "NetworkServiceInProcess2";

const NO_FEATURES: &str =
    "AudioServiceOutOfProcess,site-per-process,Translate,TranslateUI,BlinkGenPropertyTrees";
const NO_FEATURES_LIGHTER: &str = "SpareRendererForSitePerProcess,MediaRouter,OptimizationHints,\
    InterestFeedContentSuggestions,AutofillServerCommunication,CertificateTransparencyComponentUpdater,\
    GlobalMediaControls,HardwareMediaKeyHandling,LiveCaption";

/// The page can be made exactly as large as the screen.
///
/// Chromium without a window manager makes a window that would fill the screen one pixel smaller each way (black lines at the
/// right and below, in upstream's recordings, too). A window one pixel larger is left alone, and the page inside is then laid
/// out at the exact size. Not when the operator chose the window or the scale.
pub(crate) fn exact_size(config: &Config) -> bool {
    ![
        "window-size",
        "window-position",
        "force-device-scale-factor",
    ]
    .iter()
    .any(|name| config.flags.contains_key(*name))
}

/// No GPU, as by default: nothing will ask the display for GLX.
pub(crate) fn without_gpu(config: &Config) -> bool {
    config.flags.get("disable-gpu") != Some(&ChromeFlag::Switch(false))
}

/// All arguments, in alphabetical order.
pub(crate) fn arguments(config: &Config, display: &str, profile: &str) -> Vec<OsString> {
    let mut flags: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut set = |name: &str, value: Option<&str>| {
        flags.insert(name.to_owned(), value.map(str::to_owned));
    };
    for &(name, value) in FIXED.iter().chain(LIGHTER) {
        set(name, value);
    }
    let mut features = FEATURES.to_owned();
    if !config.sandbox {
        for &(name, value) in UNWALLED {
            set(name, value);
        }
        features = format!("{features},{FEATURES_UNWALLED}");
    }
    set("enable-features", Some(&features));
    set(
        "disable-features",
        Some(&format!("{NO_FEATURES},{NO_FEATURES_LIGHTER}")),
    );
    let frame = u32::from(exact_size(config));
    let size = format!(
        "{},{}",
        config.width.saturating_add(frame),
        config.height.saturating_add(frame)
    );
    set("window-size", Some(&size));
    set("display", Some(display));
    set("user-data-dir", Some(profile));
    if config.insecure {
        set("disable-web-security", None);
        set("allow-running-insecure-content", None);
    }
    if !config.audio {
        set("mute-audio", None);
    }
    for (name, flag) in &config.flags {
        match flag {
            ChromeFlag::Switch(true) => flags.insert(name.clone(), None),
            ChromeFlag::Switch(false) => flags.remove(name).flatten().map(Some),
            ChromeFlag::Value(value) => flags.insert(name.clone(), Some(value.clone())),
        };
    }
    flags
        .into_iter()
        .map(|(name, value)| match value {
            None => format!("--{name}").into(),
            Some(value) => format!("--{name}={value}").into(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use recording::Secret;

    fn config() -> Config {
        let mut config = Config::new(
            Secret::new("http://x/?token=secret".to_owned()),
            "/w".into(),
        );
        (config.width, config.height) = (1280, 720);
        config
    }

    fn line(config: &Config) -> Vec<String> {
        arguments(config, ":7", "/w/p")
            .into_iter()
            .map(|arg| arg.into_string().unwrap())
            .collect()
    }

    fn has(line: &[String], arg: &str) -> bool {
        line.iter().any(|one| one == arg)
    }

    #[test]
    fn every_fixed_flag_of_upstream_is_there() {
        let line = line(&config());
        for &(name, value) in FIXED {
            let arg = value.map_or(format!("--{name}"), |value| format!("--{name}={value}"));
            assert!(has(&line, &arg), "{arg}");
        }
        let off = line
            .iter()
            .find(|arg| arg.starts_with("--disable-features="))
            .unwrap();
        assert!(off.starts_with(&format!("--disable-features={NO_FEATURES},")));
        assert!(has(&line, "--display=:7"));
        assert!(
            !line
                .iter()
                .any(|arg| arg.contains("enable-automation") && arg.starts_with("--enable"))
        );
    }

    #[test]
    fn the_url_is_not_on_the_command_line() {
        assert!(!line(&config()).iter().any(|arg| arg.contains("secret")));
    }

    #[test]
    fn chrome_flags_come_last_and_may_override_anything() {
        let mut config = config();
        for (name, flag) in [
            ("kiosk", ChromeFlag::Switch(false)),
            ("mute-audio", ChromeFlag::Switch(true)),
            ("disable-features", ChromeFlag::Value("X".to_owned())),
            ("never-there", ChromeFlag::Switch(false)),
        ] {
            config.flags.insert(name.to_owned(), flag);
        }
        let line = line(&config);
        assert!(!has(&line, "--kiosk"));
        assert!(has(&line, "--mute-audio"));
        assert!(has(&line, "--disable-features=X"));
        assert!(!line.iter().any(|arg| arg.contains("never-there")));
    }

    #[test]
    fn a_sandboxed_browser_keeps_its_processes_apart() {
        let mut config = config();
        assert!(has(&line(&config), "--no-sandbox"));
        config.sandbox = true;
        let line = line(&config);
        for &(name, _) in UNWALLED {
            assert!(!has(&line, &format!("--{name}")), "{name}");
        }
    }

    #[test]
    fn the_window_hides_the_pixel_that_chromium_keeps_free_unless_the_operator_sizes_it() {
        let mut config = config();
        assert!(has(&line(&config), "--window-size=1281,721"));
        config.flags.insert(
            "force-device-scale-factor".to_owned(),
            ChromeFlag::Value("2".to_owned()),
        );
        assert!(has(&line(&config), "--window-size=1280,720"));
        assert!(!exact_size(&config));
    }

    #[test]
    fn insecure_and_silence_are_switches() {
        let mut config = config();
        assert!(!has(&line(&config), "--disable-web-security"));
        assert!(!has(&line(&config), "--mute-audio"));
        (config.insecure, config.audio) = (true, false);
        let line = line(&config);
        assert!(has(&line, "--disable-web-security"));
        assert!(has(&line, "--allow-running-insecure-content"));
        assert!(has(&line, "--mute-audio"));
    }
}
