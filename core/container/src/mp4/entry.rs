//! `stsd`: how a decoder is set up. Codec configuration goes in byte for byte.
//!
//! Sources: ISO/IEC 14496-12, -14 (`esds`), -15 (`avc1`, `hvc1`), "Encapsulation of Opus in ISOBMFF", AV1-ISOBMFF,
//! "VP Codec ISO Media File Format Binding".

use super::boxes::Builder;
use super::config::{Error, MAX_CODEC_CONFIG};
use media::{AudioCodec, AudioFormat, VideoCodec, VideoFormat};

/// A whole `stsd` box with one entry for `format`.
pub(super) fn video(format: &VideoFormat) -> Result<Vec<u8>, Error> {
    let (Ok(width), Ok(height)) = (u16::try_from(format.width), u16::try_from(format.height))
    else {
        return Err(Error::Format("picture is larger than 65535"));
    };
    if width == 0 || height == 0 {
        return Err(Error::Format("picture has no size"));
    }
    let c = &format.config[..];
    if c.len() > MAX_CODEC_CONFIG {
        return Err(Error::Format("codec configuration is too large"));
    }
    let mut vpcc = Vec::new();
    let (entry, config_box, config): (_, _, &[u8]) = match format.codec {
        VideoCodec::H264 if c.len() >= 7 && c[0] == 1 => (b"avc1", b"avcC", c),
        VideoCodec::H264 => return Err(Error::Format("H.264 needs an avcC")),
        VideoCodec::H265 if c.len() >= 23 => (b"hvc1", b"hvcC", c),
        VideoCodec::H265 => return Err(Error::Format("H.265 needs an hvcC")),
        VideoCodec::Av1 if c.len() >= 4 && c[0] == 0x81 => (b"av01", b"av1C", c),
        VideoCodec::Av1 => return Err(Error::Format("AV1 needs an av1C")),
        VideoCodec::Vp9 => {
            // vpcC is a full box; some producers hand over the record without version and flags.
            if !(c.len() >= 12 && c.starts_with(&[1, 0, 0, 0])) {
                vpcc.extend([1, 0, 0, 0]);
            }
            if c.is_empty() {
                // Profile 0, level 4.1, 8 bit 4:2:0, colours unspecified.
                vpcc.extend([0, 41, 0x82, 2, 2, 2, 0, 0]);
            }
            vpcc.extend(c);
            (b"vp09", b"vpcC", &vpcc)
        }
        VideoCodec::Vp8 => return Err(Error::Unsupported("VP8")),
    };
    Ok(stsd(entry, |b| {
        b.zeros(16);
        b.u16(width);
        b.u16(height);
        b.u32(0x0048_0000); // 72 dpi
        b.u32(0x0048_0000);
        b.u32(0);
        b.u16(1); // frames per sample
        b.zeros(32); // compressor name
        b.u16(0x18); // depth
        b.u16(0xffff);
        b.nest(config_box, |b| b.bytes(config));
    }))
}

/// A whole `stsd` box with one entry for `format`.
pub(super) fn audio(format: &AudioFormat) -> Result<Vec<u8>, Error> {
    if format.sample_rate == 0 || format.sample_rate > 192_000 || format.channels == 0 {
        return Err(Error::Format("sound has no rate or no channels"));
    }
    let head = |b: &mut Builder<()>, rate: u32| {
        b.zeros(8);
        b.u16(u16::from(format.channels));
        b.u16(16);
        b.u32(0);
        // 16.16; rates that do not fit are told by the codec configuration alone.
        b.u32(if rate > 0xffff { 0 } else { rate << 16 });
    };
    match format.codec {
        AudioCodec::Aac => {
            let asc = &format.config[..];
            if !(2..=64).contains(&asc.len()) {
                return Err(Error::Format("AAC needs an AudioSpecificConfig"));
            }
            Ok(stsd(b"mp4a", |b| {
                head(b, format.sample_rate);
                b.full(b"esds", 0, 0, |b| esds(b, asc));
            }))
        }
        AudioCodec::Opus => {
            let dops = dops(format)?;
            Ok(stsd(b"Opus", |b| {
                head(b, 48_000);
                b.nest(b"dOps", |b| b.bytes(&dops));
            }))
        }
        AudioCodec::Mp3 => Err(Error::Unsupported("MP3")),
        AudioCodec::Pcm => Err(Error::Unsupported("PCM")),
    }
}

fn stsd(kind: &[u8; 4], body: impl FnOnce(&mut Builder<()>)) -> Vec<u8> {
    let mut b = Builder::new();
    b.full(b"stsd", 0, 0, |b| {
        b.u32(1);
        b.nest(kind, |b| {
            b.zeros(6);
            b.u16(1); // data reference
            body(b);
        });
    });
    b.into_parts().0
}

/// ES descriptor around an AudioSpecificConfig of at most 64 bytes: every length fits one byte.
fn esds(b: &mut Builder<()>, asc: &[u8]) {
    let asc_len = u8::try_from(asc.len()).unwrap_or(0);
    b.bytes(&[3, 3 + (2 + 13 + 2 + asc_len) + 3, 0, 0, 0]);
    b.bytes(&[4, 13 + 2 + asc_len, 0x40, 0x15, 0, 0, 0]); // MPEG-4 audio, audio stream
    b.zeros(8); // bit rates unknown
    b.bytes(&[5, asc_len]);
    b.bytes(asc);
    b.bytes(&[6, 1, 2]);
}

/// The body of `dOps` from an OpusHead packet (RFC 7845 §5.1), or a plain one where there is none.
fn dops(format: &AudioFormat) -> Result<Vec<u8>, Error> {
    let head = &format.config[..];
    if head.is_empty() {
        if format.channels > 2 {
            return Err(Error::Format(
                "Opus with more than 2 channels needs an OpusHead",
            ));
        }
        let rate = 48_000_u32.to_be_bytes();
        return Ok([&[0, format.channels, 0, 0][..], &rate, &[0, 0, 0]].concat());
    }
    if head.len() < 19 || !head.starts_with(b"OpusHead") || head[9] == 0 {
        return Err(Error::Format("not an OpusHead"));
    }
    let mapping: &[u8] = match head[18] {
        0 => &[],
        _ => head
            .get(19..21 + usize::from(head[9]))
            .ok_or(Error::Format("OpusHead ends inside its channel mapping"))?,
    };
    let mut d = vec![0, head[9], head[11], head[10]]; // pre-skip turns big-endian
    d.extend([head[15], head[14], head[13], head[12]]);
    d.extend([head[17], head[16], head[18]]);
    d.extend(mapping);
    Ok(d)
}
