extends Control

onready var world = $World
onready var status = $Status


func _ready():
	$Prompt.connect("text_entered", self, "_on_prompt")
	world.connect("connection", self, "_on_connection")
	world.connect("receipt", self, "_on_receipt")


func _on_prompt(text):
	world.send_prompt(text)
	$Prompt.clear()


func _on_connection(connected):
	status.text = "connected" if connected else "the world is silent; still looking for it"


func _on_receipt(receipt):
	if receipt.kind == world.APPLIED:
		status.text = "prompt %d shows from frame %d on" % [receipt.prompt, receipt.seq]
	elif receipt.kind == world.ERROR:
		status.text = receipt.message
