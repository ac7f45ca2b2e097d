//! The command line of Chromium: upstream's flags, what lowers the cost without changing what pages see, the operator's.

use std::collections::BTreeMap;

/// One of the operator's `chrome_flags`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flag {
    /// `--name=value`.
    Value(String),
    /// `--name`.
    On,
    /// Removed.
    Off,
}

/// Fixed (egress-behaviour.md §10.4).
const SWITCHES: &[&str] = &[
    "no-first-run",
    "no-default-browser-check",
    "disable-gpu",
    "disable-infobars",
    "disable-background-networking",
    "disable-background-timer-throttling",
    "disable-backgrounding-occluded-windows",
    "disable-breakpad",
    "disable-client-side-phishing-detection",
    "disable-default-apps",
    "disable-dev-shm-usage",
    "disable-extensions",
    "disable-hang-monitor",
    "disable-ipc-flooding-protection",
    "disable-popup-blocking",
    "disable-prompt-on-repost",
    "disable-renderer-backgrounding",
    "disable-sync",
    "metrics-recording-only",
    "safebrowsing-disable-auto-update",
    "use-mock-keychain",
    "kiosk",
    "disable-translate",
    // Ours: one page needs no second process for what it does not use.
    "in-process-gpu",
    "disable-component-update",
    "disable-domain-reliability",
    "disable-site-isolation-trials",
    "no-pings",
    "noerrdialogs",
    "disable-notifications",
    "disable-search-engine-choice-screen",
    "enable-unsafe-swiftshader",
];

const VALUES: &[(&str, &str)] = &[
    ("enable-features", "NetworkService,NetworkServiceInProcess"),
    (
        "disable-features",
        "AudioServiceOutOfProcess,site-per-process,Translate,TranslateUI,BlinkGenPropertyTrees,MediaRouter,\
         OptimizationHints,DialMediaRouteProvider,IsolateOrigins,SpareRendererForSitePerProcess,PreloadTopChromeWebUI,\
         HardwareMediaKeyHandling,GlobalMediaControls,InterestFeedContentSuggestions,PaintHolding",
    ),
    ("force-color-profile", "srgb"),
    ("password-store", "basic"),
    ("autoplay-policy", "no-user-gesture-required"),
    ("window-position", "0,0"),
    ("remote-debugging-port", "0"),
    ("renderer-process-limit", "1"),
    ("disk-cache-size", "33554432"),
    ("log-level", "3"),
];

/// What a recording adds.
#[derive(Clone, Debug)]
pub(crate) struct Wishes<'a> {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) sound: bool,
    pub(crate) sandbox: bool,
    pub(crate) insecure: bool,
    pub(crate) profile: &'a str,
    pub(crate) flags: &'a BTreeMap<String, Flag>,
}

/// All arguments, sorted; the first page is about:blank.
pub(crate) fn arguments(wishes: &Wishes<'_>) -> Vec<String> {
    let mut all: BTreeMap<String, Flag> = SWITCHES
        .iter()
        .map(|s| ((*s).to_owned(), Flag::On))
        .collect();
    all.extend(
        VALUES
            .iter()
            .map(|(k, v)| ((*k).to_owned(), Flag::Value((*v).to_owned()))),
    );
    let size = format!("{},{}", wishes.width, wishes.height);
    all.insert("window-size".to_owned(), Flag::Value(size));
    all.insert(
        "user-data-dir".to_owned(),
        Flag::Value(wishes.profile.to_owned()),
    );
    if !wishes.sandbox {
        all.insert("no-sandbox".to_owned(), Flag::On);
        all.insert("no-zygote".to_owned(), Flag::On);
    }
    if wishes.insecure {
        all.insert("disable-web-security".to_owned(), Flag::On);
        all.insert("allow-running-insecure-content".to_owned(), Flag::On);
    }
    if !wishes.sound {
        all.insert("mute-audio".to_owned(), Flag::On);
    }
    for (name, flag) in wishes.flags {
        all.insert(name.trim_start_matches('-').to_owned(), flag.clone());
    }
    let mut arguments: Vec<String> = all
        .into_iter()
        .filter_map(|(name, flag)| match flag {
            Flag::Value(value) => Some(format!("--{name}={value}")),
            Flag::On => Some(format!("--{name}")),
            Flag::Off => None,
        })
        .collect();
    arguments.push("about:blank".to_owned());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(flags: &BTreeMap<String, Flag>, sandbox: bool) -> Vec<String> {
        let (width, height, profile) = (1280, 720, "/p");
        arguments(&Wishes {
            width,
            height,
            sound: true,
            sandbox,
            insecure: false,
            profile,
            flags,
        })
    }

    #[test]
    fn the_operators_flags_come_last() {
        let flags = BTreeMap::from([
            ("kiosk".to_owned(), Flag::Off),
            ("window-position".to_owned(), Flag::Value("5,5".to_owned())),
            ("--lang".to_owned(), Flag::Value("de".to_owned())),
            ("ignore-certificate-errors".to_owned(), Flag::On),
        ]);
        let all = with(&flags, false);
        assert!(!all.contains(&"--kiosk".to_owned()));
        for wanted in [
            "--window-position=5,5",
            "--lang=de",
            "--ignore-certificate-errors",
            "--window-size=1280,720",
        ] {
            assert!(all.contains(&wanted.to_owned()), "{wanted}");
        }
    }

    #[test]
    fn the_sandbox_is_on_only_when_asked_for() {
        let none = BTreeMap::new();
        assert!(with(&none, false).contains(&"--no-sandbox".to_owned()));
        assert!(
            !with(&none, true)
                .iter()
                .any(|a| a == "--no-sandbox" || a == "--no-zygote")
        );
    }
}
