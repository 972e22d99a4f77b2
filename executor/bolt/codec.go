package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"tfw/executor"
)

// maxChunk is the most data one stored entry holds, before compression.
const maxChunk = 64 << 10

// errDamaged marks bytes that are not what was written.
var errDamaged = errors.New("checksum does not match")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal puts the checksum of key and body into the first four bytes of value.
func seal(key, value []byte) []byte {
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
	binary.LittleEndian.PutUint32(value, sum)
	return value
}

// open checks a sealed value and gives its body.
func open(key, value []byte) ([]byte, error) {
	if len(value) < 4 {
		return nil, errDamaged
	}
	sum := crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value[4:])
	if sum != binary.LittleEndian.Uint32(value) {
		return nil, errDamaged
	}
	return value[4:], nil
}

// seqKey is the key of an entry: big endian, so that byte order is number order.
func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// streamCode numbers the streams on disk; 0 is none.
func streamCode(s executor.Stream) byte {
	switch s {
	case executor.Stdout:
		return 1
	case executor.Stderr:
		return 2
	case executor.Events:
		return 3
	}
	return 0
}

// quietBit is set in an entry's stream code when its output is for the method only.
const quietBit = 0x80

func codeOf(e executor.Entry) byte {
	if e.Quiet {
		return streamCode(e.Stream) | quietBit
	}
	return streamCode(e.Stream)
}

var streamNames = [4]executor.Stream{"", executor.Stdout, executor.Stderr, executor.Events}

// Payload codecs.
const (
	codecRaw  = 0
	codecZstd = 1
	codecS2   = 2 // since format 2: three to four times as fast, for output that comes faster than zstd packs
)

// The coders keep no goroutines; EncodeAll and DecodeAll are safe side by side.
var coders = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(maxChunk),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<20), zstd.WithDecoderConcurrency(0))
	if err != nil {
		panic(err)
	}
	return enc, dec
})

// smallest is the size under which compression is not tried.
const smallest = 192

// encode makes the value of an entry, its checksum still to be set by [seal]:
// checksum, codec, stream, command, time, offset, length, run, host, payload.
// In a hurry what s2 packs well enough is left to it.
func encode(e executor.Entry, hurry bool) []byte {
	codec, payload := byte(codecRaw), e.Data
	if len(e.Data) >= smallest {
		room := scratch.Get().(*[2 * maxChunk]byte)
		defer scratch.Put(room)
		codec, payload = pack(room[:0], e.Data, hurry)
	}
	b := make([]byte, 4, 64+len(e.Run)+len(e.Host)+len(payload))
	b = append(b, codec, codeOf(e))
	b = binary.AppendVarint(b, int64(e.Command))
	b = binary.LittleEndian.AppendUint64(b, uint64(nanos(e.Time)))
	b = binary.AppendUvarint(b, uint64(e.Offset))
	b = binary.AppendUvarint(b, uint64(len(e.Data)))
	b = appendText(b, string(e.Run))
	b = appendText(b, e.Host)
	return append(b, payload...)
}

// scratch holds what a chunk is packed into: more than any codec needs for one.
var scratch = sync.Pool{New: func() any { return new([2 * maxChunk]byte) }}

// chunks are for the data of large entries on their way to the disk: a host that sends 200 MB/s would have the
// garbage collector at work all the time.
var chunks = sync.Pool{New: func() any { return new([maxChunk]byte) }}

// keep copies data. What it gives may be recycled, once.
func keep(data []byte) []byte {
	if len(data) <= maxChunk/2 || len(data) > maxChunk {
		return append(make([]byte, 0, len(data)), data...)
	}
	return append(chunks.Get().(*[maxChunk]byte)[:0], data...)
}

// recycle takes back what nobody looks at any more.
func recycle(data []byte) {
	if cap(data) == maxChunk {
		chunks.Put((*[maxChunk]byte)(data[:maxChunk]))
	}
}

// pack compresses data into room, where that is worth it.
func pack(room, data []byte, hurry bool) (codec byte, payload []byte) {
	if hurry && s2.MaxEncodedLen(len(data)) <= cap(room) {
		if p := s2.Encode(room[:cap(room)], data); len(p) < len(data)*2/5 {
			return codecS2, p
		}
	}
	enc, _ := coders()
	if p := enc.EncodeAll(data, room); len(p) < len(data)-len(data)/16 {
		return codecZstd, p
	}
	return codecRaw, data
}

// stored is a decoded header with the payload still packed.
type stored struct {
	entry   executor.Entry // without Data
	codec   byte
	length  int // of the data
	payload []byte
}

// decode reads the header of a checked value.
func decode(seq uint64, body []byte) (stored, error) {
	r := reader{b: body}
	codec, code := r.byte(), r.byte()
	stream := code &^ quietBit
	s := stored{codec: codec}
	s.entry = executor.Entry{Seq: seq, Stream: streamNames[stream&3], Quiet: code&quietBit != 0}
	s.entry.Command = int(r.varint())
	s.entry.Time = moment(int64(r.uint64()))
	s.entry.Offset = int64(r.uvarint())
	length := r.uvarint()
	s.entry.Run = executor.RunID(r.text())
	s.entry.Host = r.text()
	s.payload = r.b
	if r.bad || stream == 0 || stream > 3 || length > maxChunk {
		return stored{}, fmt.Errorf("entry %d: header: %w", seq, errDamaged)
	}
	s.length = int(length)
	return s, nil
}

// give unpacks the entry, unless packed asks for it as it lies.
func (s stored) give(packed bool) (executor.Entry, error) {
	if !packed || s.codec != codecZstd {
		return s.unpack()
	}
	e := s.entry
	e.Frame, e.Length = append(make([]byte, 0, len(s.payload)), s.payload...), s.length
	return e, nil
}

// unpack gives the entry with its data.
func (s stored) unpack() (executor.Entry, error) {
	e := s.entry
	switch s.codec {
	case codecRaw:
		e.Data = append(make([]byte, 0, len(s.payload)), s.payload...)
	case codecZstd:
		_, dec := coders()
		var err error
		if e.Data, err = dec.DecodeAll(s.payload, make([]byte, 0, s.length)); err != nil {
			return e, fmt.Errorf("entry %d: %w: %w", e.Seq, errDamaged, err)
		}
	case codecS2:
		n, err := s2.DecodedLen(s.payload)
		if err == nil && n == s.length {
			e.Data, err = s2.Decode(make([]byte, 0, n), s.payload)
		}
		if err != nil {
			return e, fmt.Errorf("entry %d: %w: %w", e.Seq, errDamaged, err)
		}
	default:
		return e, fmt.Errorf("entry %d: codec %d: %w", e.Seq, s.codec, errDamaged)
	}
	if len(e.Data) != s.length {
		return e, fmt.Errorf("entry %d: %d bytes where %d were stored: %w", e.Seq, len(e.Data), s.length, errDamaged)
	}
	return e, nil
}

// nanos keeps a time in eight bytes; the zero time has a number of its own.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return math.MinInt64
	}
	return t.UnixNano()
}

func moment(n int64) time.Time {
	if n == math.MinInt64 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// reader takes fields off the front of a value; bad is set when one is missing.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return ""
	}
	return string(r.take(int(n)))
}
