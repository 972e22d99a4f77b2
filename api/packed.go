package api

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"tfw/executor"
)

// packedForm is the same bytes as rawForm's, in the content coding zstd (RFC 8878,
// 7.2): the store's frames are sent as they lie, one after the other. What the store holds plain, because
// it is short, is sent in frames that are not compressed.
type packedForm struct {
	skip  int64  // bytes that the client has already
	plain []byte // gathered for one frame
	begun bool   // something was sent: a response without any frame would not be zstd
}

// plainFrame is how many plain bytes are gathered for one frame, at most.
const plainFrame = 32 << 10

// splits: a frame that the client has a part of cannot be sent as it lies.
func (f *packedForm) splits(e executor.Entry) bool { return f.skip > 0 && f.skip < int64(e.Length) }

func (f *packedForm) entry(b *bytes.Buffer, e executor.Entry) {
	size := sizeOf(e)
	known := min(f.skip, size)
	f.skip -= known
	switch {
	case known == size:
	case e.Frame != nil:
		f.page(b)
		b.Write(e.Frame)
		f.begun = true
	default:
		f.gather(b, e.Data[known:])
	}
}

func (f *packedForm) gather(b *bytes.Buffer, data []byte) {
	for len(data) > 0 {
		n := min(len(data), plainFrame-len(f.plain))
		f.plain = append(f.plain, data[:n]...)
		if data = data[n:]; len(f.plain) == plainFrame {
			f.page(b)
		}
	}
}

func (f *packedForm) page(b *bytes.Buffer) {
	if len(f.plain) > 0 {
		writeFrame(b, f.plain)
		f.plain, f.begun = f.plain[:0], true
	}
}

func (*packedForm) heartbeat(*bytes.Buffer) {}

func (f *packedForm) end(b *bytes.Buffer, _ *executor.Run) {
	if !f.begun {
		writeFrame(b, nil)
	}
}

// writeFrame writes a zstd frame of one raw block (RFC 8878, 3.1.1): magic number, a
// descriptor that says "single segment" and how wide the content's size is, that size, and the block's head: its size, type raw, the last one.
func writeFrame(b *bytes.Buffer, data []byte) {
	head := binary.LittleEndian.AppendUint32(make([]byte, 0, 16), 0xFD2FB528)
	if len(data) < 256 {
		head = append(head, 0x20, byte(len(data)))
	} else {
		head = binary.LittleEndian.AppendUint16(append(head, 0x60), uint16(len(data)-256))
	}
	block := uint32(len(data))<<3 | 1
	b.Write(append(head, byte(block), byte(block>>8), byte(block>>16)))
	b.Write(data)
}

// takesZstd reads an Accept-Encoding (RFC 9110, 12.5.3). A client that says
// nothing of zstd gets no coding at all: "*" is sent by those that do not know what they ask for.
func takesZstd(header string) bool {
	for one := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(one, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "zstd") {
			continue
		}
		q, weighted := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !weighted || (err == nil && weight > 0)
	}
	return false
}
