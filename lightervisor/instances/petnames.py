"""Two-word names for instances that got none, as "brisk-heron"."""

import secrets
from collections.abc import Callable

ADJECTIVES = """
able amber ample apt artful bold bonny brave breezy bright brisk calm candid civil clean clear clever cosmic crisp
daring deft eager early easy fair famous fine firm fleet fond frank free fresh gentle glad golden good grand great
happy hardy honest ideal jolly keen kind lively loyal lucid lucky magic merry mighty mild modest neat nimble noble
novel polite prime prompt proper proud pure quick quiet rapid ready regal robust rosy sharp shiny simple smart
smooth snug solid sound spry stable steady still strong sturdy sunny super sure swift tidy tough true trusty upbeat
valid vital vivid warm wise witty worthy
"""
ANIMALS = """
adder akita ant auk badger bass bat bear beaver bee bird bison boa boar bream buck bull calf camel carp cat chow
civet clam cobra cod colt condor corgi cow crab crane crow cub deer dingo dodo dog dove drake drum duck eagle eel
eft egret elf elk emu ewe falcon fawn finch fish flea fly foal fowl fox frog gator gecko ghost goat goose grouse
grub gull hare hawk hen heron hog hornet horse hound husky ibex ibis iguana imp insect jay kid kite kiwi koala koi
lamb lark lemur lion lizard llama lynx mako man marlin marmot mayfly minnow mite mole monkey moose moray moth mouse
mule newt oriole oryx osprey otter owl ox oyster panda parrot pegasus perch pig pika pony pug puma python quail
rabbit racer ram rat raven ray robin rodent rooster salmon seal shark sheep shrew shrimp skink skunk sloth slug
snail snake snipe sole spider squid stag stork stud sunbird swan swift tapir teal tern tick tiger toad trout tuna
turkey turtle unicorn urchin viper vole walrus wasp weasel whale wolf wombat worm wren yak zebra
"""


def invent(is_taken: Callable[[str], bool]) -> str:
    """A name that nobody has; a number is appended when all tries were taken."""
    name = ""
    for _ in range(32):
        name = f"{secrets.choice(ADJECTIVES.split())}-{secrets.choice(ANIMALS.split())}"
        if not is_taken(name):
            return name
    return f"{name}-{secrets.randbelow(1_000_000)}"
