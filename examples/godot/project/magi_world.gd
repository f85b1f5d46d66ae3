# Shows a running magi_rt world in its own texture and sends prompts to it.
extends TextureRect

signal connection(connected)
signal receipt(receipt)

enum { ACCEPTED = 1, APPLIED = 2, ERROR = 3 }
enum { AT_NEXT = 0, AT_NOW = 1 }
enum { RESET = 2, REWIND = 4, SNAPSHOT = 5, RESTORE = 6, FORK = 7, PAUSE = 8, RESUME = 9 }

const CONNECTED = 1

# As `magi-rt serve` prints it; empty: tcp://127.0.0.1:5590.
export var address = ""
# Empty: the next port.
export var control_address = ""
# A moving picture made here, for work while no server runs.
export var dummy = false

# The shown frame: its number in the order of sending, its chunk, and the prompt that shaped it.
var seq = 0
var chunk = 0
var prompt = 0
var connected = false
# The last warning or error as a sentence, such as why nothing is shown; empty: none yet.
var trouble = ""

var _client = preload("res://magi_client.gdns").new()
var _image = Image.new()
var _picture = null


# Not in _ready, which comes only once: a node may leave the tree and come back.
func _enter_tree():
	trouble = ""
	var status = _client.open(address.to_utf8(), control_address.to_utf8(), int(dummy))
	if status != 0:
		trouble = "the client could not be opened (status %d)" % status
		push_error(trouble)


func _exit_tree():
	_client.close()
	_tell_connection(false)


func _process(_delta):
	var pixels = _client.take_frame()
	if pixels.size() > 0:
		_show(pixels)
	if _client.look() == 0:
		trouble = _client.trouble().get_string_from_utf8()
		_tell_connection(_client.state() == CONNECTED)
	while _client.poll_receipt() == 1:
		_tell_receipt()


# Says what happens from now on. Returns a number that receipts carry, 0 when refused.
func send_prompt(text, at = AT_NEXT, flush = false):
	return _client.send_prompt(text.to_utf8(), at, int(flush))


# RESET (name: the first prompt, empty for the server's own), REWIND (chunks), SNAPSHOT, RESTORE and
# FORK (name), PAUSE, RESUME.
func send(verb, name = "", chunks = 0):
	return _client.send(verb, name.to_utf8(), chunks)


# Takes back all chunks from this number on, whatever is shown by then.
func rewind_to(number):
	return _client.rewind_to(number)


func _show(pixels):
	var width = _client.width()
	var height = _client.height()
	# Godot's images begin with the uppermost row, as these bytes do.
	_image.create_from_data(width, height, false, Image.FORMAT_RGBA8, pixels)
	if _picture == null or _picture.get_size() != Vector2(width, height):
		_picture = ImageTexture.new()
		# No mipmaps and no repeat: only the filter.
		_picture.create_from_image(_image, Texture.FLAG_FILTER)
		texture = _picture
	else:
		_picture.set_data(_image)
	seq = _client.seq()
	chunk = _client.chunk()
	prompt = _client.prompt()


func _tell_connection(now):
	if now == connected:
		return
	connected = now
	emit_signal("connection", now)


func _tell_receipt():
	emit_signal("receipt", {
		"kind": _client.receipt_kind(),
		"request": _client.receipt_request(),
		"code": _client.receipt_code(),
		"prompt": _client.receipt_prompt(),
		"seq": _client.receipt_seq(),
		"chunk": _client.receipt_chunk(),
		"message": _client.receipt_message().get_string_from_utf8(),
		"details": _client.receipt_details().get_string_from_utf8(),
	})
