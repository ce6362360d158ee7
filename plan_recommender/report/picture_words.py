"""The words of the pictures and lines about advice and campaigns, in English and Spanish."""

from typing import Final

from plan_recommender.billing.wording import number
from plan_recommender.model.languages import Language

Words = dict[str, str]

_MINUS: Final = "\N{MINUS SIGN}"

_ENGLISH: Final[Words] = {
    "fee and extras": "bill of a month ({currency})",
    "data": "data used (GB / month), with calls and messages that the fee includes",
    "break-even": "With more than {gb} GB a month, {dear} costs less than {cheap}",
    "break-even point": "{gb} GB: both {amount}",
    "held": "on {plan}: {count}",
    "advised headline": "{share} of the subscribers are advised to switch, and all others to keep their plan",
    "keep": "keep",
    "switch to": "switch to {plan}",
    "share of subscribers": "share of the subscribers on a plan",
    "map headline": "Those advised to switch to {dear} use {high} GB a month; to {cheap}, {low} GB (medians)",
    "mean data": "mean data of the past months (GB / month)",
    "mean minutes": "mean call time (minutes / month)",
    "keep either": "keep the plan",
    "on, to": "{held} → {advised}",
    "overpaid headline": "Whoever follows the advice overpays {ratio} of what is overpaid by keeping the plan",
    "overpaid": "overpaid a month beside the cheapest plan ({currency}), mean and 95 % interval",
    "rule keep": "keep the plan held",
    "rule last": "the plan that was cheaper last month",
    "rule advice": "the advice",
    "rule clairvoyant": "know the next month",
    "rule everybody": "everybody on {plan}",
    "right": "{amount}, right in {share}",
    "expectations headline": "{saved} of {cases} advised switches saved, and together {real} of what was expected",
    "expected": "expected",
    "real": "saved in the next month",
    "saving": "saving of an advised switch ({currency} / month), mean",
    "group all": "all switches",
    "group 1 month known": "1 month known",
    "group 2 or 3 months known": "2 or 3 months known",
    "group 4 or more months known": "4 or more months known",
    "switches": "{group} ({count})",
    "worlds headline lower": "In every scenario the operator earns less from contacts than from controls",
    "worlds headline": "Revenue and churn of contacts less those of controls, in each scenario",
    "world": "{left} of contacts leave",
    "world same": "{left} leave, as of the controls",
    "revenue change": "change of revenue per contact ({currency} / month)",
    "churn change": "churn of contacts less that of controls (points)",
    "true": "true in the scenario",
    "found": "found by the comparison, with 95 % interval",
    "sizes headline": "To see churn rise from {before} to {after} takes {many} subscribers a group; to {far}, {few}",
    "sizes": "contacts, and as many controls",
    "churn after": "churn of the contacts",
    "this campaign": "this campaign: {contacts} contacts and {controls} controls",
    "this campaign sees": "sees a rise to {rise}",
    "bill": "expected bill of the next month ({currency}), and 90 % interval",
    "prices": "plan|fee ({currency} / month)|minutes included|SMS included|GB included|extra minute|extra SMS|extra GB",
    "groups": "group|subscribers|saving if all switched ({currency} / month)|for each|contacting, once ({currency})",
    "contacts": "contacts",
    "controls": "controls, not contacted",
    "account": "who leaves|change of revenue, all contacts ({currency} / month)|contacting, once ({currency})|"
    "verdict on churn|churn of contacts that would pay for the switches",
    "leave": "{contacts} of contacts, {controls} of controls",
    "lower": "lower",
    "higher": "higher",
    "cannot tell": "cannot tell",
    "not even 0": "not even 0 %",
}
_SPANISH: Final[Words] = {
    "fee and extras": "factura de un mes ({currency})",
    "data": "consumo de datos (GB al mes), con llamadas y SMS dentro de lo incluido en la cuota",
    "break-even": "Con más de {gb} GB al mes, {dear} cuesta menos que {cheap}",
    "break-even point": "{gb} GB: ambos, {amount}",
    "held": "con {plan}: {count}",
    "advised headline": "Al {share} de los clientes se les aconseja cambiar de plan; a los demás, mantenerlo",
    "keep": "mantener",
    "switch to": "cambiar a {plan}",
    "share of subscribers": "proporción de los clientes de cada plan",
    "map headline": "Quien recibe el consejo de pasar a {dear} consume {high} GB al mes; a {cheap}, {low} (medianas)",
    "mean data": "consumo medio de datos de los meses anteriores (GB al mes)",
    "mean minutes": "media de llamadas (minutos al mes)",
    "keep either": "mantener el plan",
    "on, to": "{held} → {advised}",
    "overpaid headline": "Quien sigue el consejo paga de más el {ratio} de lo que paga de más quien no cambia",
    "overpaid": "pagado de más al mes frente al plan más barato ({currency}), media e intervalo del 95 %",
    "rule keep": "mantener el plan contratado",
    "rule last": "el plan más barato el mes anterior",
    "rule advice": "el consejo",
    "rule clairvoyant": "conocer el mes siguiente",
    "rule everybody": "todos con {plan}",
    "right": "{amount}, acierta en el {share}",
    "expectations headline": "El {saved} de {cases} cambios aconsejados ahorró; en total, el {real} de lo esperado",
    "expected": "esperado",
    "real": "ahorrado el mes siguiente",
    "saving": "ahorro de un cambio aconsejado ({currency} al mes), media",
    "group all": "todos los cambios",
    "group 1 month known": "1 mes conocido",
    "group 2 or 3 months known": "2 o 3 meses conocidos",
    "group 4 or more months known": "4 o más meses conocidos",
    "switches": "{group} ({count})",
    "worlds headline lower": "En todos los escenarios el operador ingresa menos por los contactados que por el control",
    "worlds headline": "Ingresos y bajas: contactados menos grupo de control, en cada escenario",
    "world": "bajas de contactados: {left}",
    "world same": "bajas de contactados: {left}, como control",
    "revenue change": "ingresos frente al control ({currency} al mes)",
    "churn change": "bajas frente al control (puntos)",
    "true": "lo cierto en el escenario",
    "found": "lo que encuentra la comparación, con intervalo del 95 %",
    "sizes headline": "Ver subir las bajas del {before} al {after} exige {many} clientes por grupo; al {far}, {few}",
    "sizes": "contactados, y otros tantos de control",
    "churn after": "bajas de los contactados",
    "this campaign": "esta campaña: {contacts} contactados y {controls} de control",
    "this campaign sees": "detecta una subida hasta el {rise}",
    "bill": "factura esperada del mes siguiente ({currency}) e intervalo del 90 %",
    "prices": "plan|cuota ({currency} al mes)|minutos incluidos|SMS incluidos|GB incluidos|minuto adicional|"
    "SMS adicional|GB adicional",
    "groups": "grupo|clientes|ahorro si todos cambian ({currency} al mes)|por cliente|"
    "contactarlos, una vez ({currency})",
    "contacts": "contactados",
    "controls": "control, sin contactar",
    "account": "quién se da de baja|cambio de los ingresos, todos los contactados ({currency} al mes)|"
    "contactarlos, una vez ({currency})|veredicto sobre las bajas|"
    "bajas de los contactados que compensarían los cambios",
    "leave": "el {contacts} de los contactados, el {controls} del control",
    "lower": "menos bajas",
    "higher": "más bajas",
    "cannot tell": "no se puede decir",
    "not even 0": "ni siquiera el 0 %",
}
WORDS: Final[dict[Language, Words]] = {"en": _ENGLISH, "es": _SPANISH}
"""By language; both have the same keys, and the same places to fill in."""


def figure(value: float, language: Language, decimals: int = 0) -> str:
    """Write a number, rounded to some decimals."""
    return number(round(value * 10**decimals), decimals, language).replace("-", _MINUS)


def percent(share: float, language: Language, decimals: int = 0) -> str:
    """Write a share (0 to 1) as percent."""
    return f"{figure(100 * share, language, decimals)} %"
