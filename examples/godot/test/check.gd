# Plays the example in the engine and writes what it saw: run.py compares it with what was sent.
#
#     godot3-server --path PROJECT -s FULL_PATH/check.gd
#
# MAGI_FRAMES and MAGI_CONTROL are the server's addresses, MAGI_OUT a folder.
extends SceneTree

const FRAMES = 10
const PATIENCE_MS = 60000

var main
var world
var unreachable
var saved = []
var receipts = []
var request = 0
var pause = 0
var back = 0
var resume = 0
var shown_prompt = 0
var connections = []
var left = 0
var done = false
var begun = OS.get_ticks_msec()


func _init():
	main = load("res://main.tscn").instance()
	world = main.get_node("World")
	world.address = OS.get_environment("MAGI_FRAMES")
	world.control_address = OS.get_environment("MAGI_CONTROL")
	world.connect("receipt", self, "_on_receipt")
	world.connect("connection", self, "_on_connection")
	unreachable = load("res://magi_world.gd").new()
	unreachable.address = "ipc:///" + "x".repeat(200)
	get_root().call_deferred("add_child", main)
	get_root().call_deferred("add_child", unreachable)


func _on_receipt(receipt):
	receipts.append(receipt)


func _on_connection(connected):
	connections.append(connected)


func _idle(_delta):
	if done:
		return
	if world.seq > 0 and not saved.has(world.seq) and saved.size() < FRAMES:
		_save_picture()
	if saved.size() >= 3 and request == 0:
		request = world.send_prompt("night falls", world.AT_NOW, true)
	if receipts.size() == 2 and world.prompt == receipts[1].prompt and pause == 0:
		shown_prompt = world.prompt
		pause = world.send(world.PAUSE)
	# In a world that stands still the prompt's chunk is not forgotten meanwhile.
	if receipts.size() == 3 and back == 0:
		back = world.rewind_to(receipts[1].chunk)
	if receipts.size() == 5 and resume == 0:
		resume = world.send(world.RESUME)
	var played = saved.size() >= FRAMES and receipts.size() >= 6 and world.seq > receipts[4].seq
	if played and left == 0:
		_leave_and_come_back()
	done = left > 0 and world.seq > left and world.connected
	if done or OS.get_ticks_msec() - begun > PATIENCE_MS:
		done = true
		_write("result.json", to_json(_result()).to_utf8())
		quit()


# As a game does that keeps a scene while another one is played.
func _leave_and_come_back():
	left = world.seq
	get_root().remove_child(main)
	get_root().add_child(main)


func _save_picture():
	# What the texture has, not what was given to it.
	var image = world.texture.get_data()
	_write("%d.rgba" % world.seq, image.get_data())
	saved.append(world.seq)


func _result():
	return {
		"saved": saved,
		"width": world.texture.get_width() if world.texture else 0,
		"height": world.texture.get_height() if world.texture else 0,
		"request": request,
		"pause": pause,
		"back": back,
		"resume": resume,
		"receipts": receipts,
		"shown_prompt": shown_prompt,
		"undone_prompt": world.prompt,
		"shown_seq": world.seq,
		"connected": world.connected,
		"connections": connections,
		"left_seq": left,
		"unreachable": unreachable.trouble,
	}


func _write(name, bytes):
	var file = File.new()
	file.open(OS.get_environment("MAGI_OUT").plus_file(name), File.WRITE)
	file.store_buffer(bytes)
	file.close()
