// Package screen draws full-screen views on a terminal with few bytes: a frame is
// a grid of cells, and only the cells that changed since the frame before are sent.
// Text given to it is data: it cannot move the cursor or change the terminal's state.
//
// It speaks the part of ECMA-48 that every terminal of today knows (xterm, the
// Linux console, tmux, screen): cursor position, erase to the end of a line,
// colours, scroll regions and the alternate screen.
package screen
